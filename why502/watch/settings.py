"""The settings of `why502 watch`: /etc/why502/watch.toml. Every setting has a default, so the file may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta
from msgspec.structs import replace

from why502.model.base import Value
from why502.model.patterns import lazy
from why502.watch.checks.settings import Checks
from why502.watch.metrics.settings import MetricsSettings
from why502.watch.mitigation import Mitigation
from why502.watch.notify.base import check_url
from why502.watch.notify.heartbeat import HeartbeatSettings
from why502.watch.notify.settings import AnyReceiver
from why502.watch.notify.silence import Silence
from why502.watch.state.burn import Objective
from why502.watch.toml_file import load

PATH = Path("/etc/why502/watch.toml")
EXAMPLE = Path(__file__).with_name("watch.toml")

_SEGMENT = lazy(r"(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*)?")  # of a path; empty before its first slash

Label = Annotated[str, Meta(max_length=200)]
LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]


class GatewaySettings(Value, frozen=True, kw_only=True):
    """Where the gateways and their logs are. Empty: they are found, as `why502 diagnose` finds them."""

    configs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    every_s: Annotated[float, Meta(ge=0.1, le=300)] = 5.0  # how often changes of the gateways are looked for


class StoreSettings(Value, frozen=True, kw_only=True):
    """The database of incidents and counts."""

    path: str = "/var/lib/why502-watch/watch.db"


class ServeSettings(Value, frozen=True, kw_only=True):
    """Where `why502 serve` is reached by a browser: https://why502.example, or below a path of a reverse proxy, as in
    https://ops.example/why502. Messages then link to the page of their incident.
    """

    url: str = ""

    def __post_init__(self) -> None:
        if not self.url:
            return
        check_url("url", self.url)
        parts = urlsplit(self.url)
        is_path = all(_SEGMENT.fullmatch(name) for name in parts.path.split("/"))
        if not is_path or parts.query or parts.fragment:
            raise ValueError(
                "url must have a host, and may have a plain path: https://why502.example, https://ops.example/why502"
            )

    @property
    def base_url(self) -> str:
        """Return it without a slash at its end, host and scheme in small letters; "" if there is no URL."""
        parts = urlsplit(self.url)
        path = "".join(f"/{name}" for name in parts.path.split("/") if name)
        return f"{parts.scheme}://{parts.netloc}".lower() + path if self.url else ""

    @property
    def link(self) -> str:
        """Return the address of an incident's page, as receivers have it in their settings; "" if there is no URL."""
        return f"{self.base_url}/incidents/{{incident}}" if self.url else ""


class Settings(Value, frozen=True, kw_only=True):
    """All of them."""

    gateways: GatewaySettings = GatewaySettings()
    store: StoreSettings = StoreSettings()
    metrics: MetricsSettings = MetricsSettings()
    serve: ServeSettings = ServeSettings()
    checks: Checks = Checks()
    mitigation: Mitigation = Mitigation()
    labels: dict[LabelName, Label] = {}
    objectives: tuple[Objective, ...] = ()
    receivers: tuple[AnyReceiver, ...] = ()
    silences: tuple[Silence, ...] = ()
    heartbeat: HeartbeatSettings | None = None

    def __post_init__(self) -> None:
        for kind, names in (("receivers", self.receivers), ("objectives", self.objectives)):
            known = [one.name for one in names]
            if repeated := sorted({name for name in known if known.count(name) > 1}):
                raise ValueError(f"two {kind} have the name {repeated[0]}")


def read(path: str | None) -> Settings:
    """Return the settings in a file; None: in the usual place, where it may be missing. Raises Why502Error."""
    if path is None and not PATH.exists():
        return Settings()
    settings = load(Path(path) if path else PATH, Settings)
    settings.metrics.check()
    for objective in settings.objectives:
        objective.check()
    linked = tuple(replace(one, link=one.link or settings.serve.link) for one in settings.receivers)
    return replace(settings, receivers=linked)


def example() -> str:
    """Return the annotated example."""
    return EXAMPLE.read_text(encoding="utf-8")


def summary(settings: Settings) -> str:
    """Return in one line what is set."""
    counts = (
        (len(settings.receivers), "receiver"),
        (len(settings.objectives), "objective"),
        (len(settings.silences), "silence"),
    )
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts)
