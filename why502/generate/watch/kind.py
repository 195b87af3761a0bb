"""`why502 generate watch`: the settings of the daemon that differ from its defaults, read back as it reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from why502.generate import options
from why502.generate.document import Document
from why502.generate.kind import Kind, Made
from why502.generate.options import Given, Option, refuse
from why502.generate.remark import Row, Section, row
from why502.generate.safe import Safe, comment, fill, toml
from why502.host.base import Host
from why502.model.errors import Why502Error
from why502.watch.notify.base import check_url
from why502.watch.notify.email.settings import check_address
from why502.watch.settings import PATH, Settings
from why502.watch.toml_file import parse

OPTIONS = (
    Option(name="--alertmanager", metavar="URL", is_many=True, help="An Alertmanager. Repeat it for each member of a cluster."),
    Option(name="--webhook", metavar="URL|FILE", is_many=True, help="A URL that gets every message, or a file with that URL."),
    Option(name="--slack", metavar="FILE,CHANNEL", help="A file with a bot's token, and the ID of a channel."),
    Option(name="--email", metavar="ADDRESS", is_many=True, help="A recipient of mail. Needs --mail-host and --mail-from."),
    Option(name="--mail-host", metavar="HOST", help="The SMTP server; STARTTLS on port 587."),
    Option(name="--mail-from", metavar="ADDRESS", help="The sender of the mail."),
    Option(
        name="--objective",
        metavar="[PLACE=]PERCENT",
        is_many=True,
        help="Share of requests that should succeed: 99.9, or shop.example/=99.9.",
    ),
    Option(name="--label", metavar="NAME=VALUE", is_many=True, help="A label for every alert and metric: site=fra1."),
    Option(
        name="--config",
        metavar="FILE",
        is_many=True,
        help="A gateway's main configuration file. Default: find the running gateways.",
    ),
    Option(name="--log", metavar="FILE", is_many=True, help="A log to follow, in addition to those that the gateways name."),
    Option(
        name="--metrics", metavar="ADDRESS", help="Address of /metrics: 127.0.0.1:9502, unix:/run/why502/metrics.sock, or off."
    ),
    Option(name="--textfile", metavar="FILE", help="A file *.prom for node_exporter's textfile collector."),
    Option(name="--url", metavar="URL", help="Where browsers reach `why502 serve`: every message links to it."),
    Option(name="--heartbeat", metavar="FILE", help="A file with a URL that is requested while every part makes progress."),
)

Value: TypeAlias = str | float | list[str]


def emit(given: Given, host: Host) -> Made:  # noqa: ARG001 - every kind is called alike
    """Return the file. Raises Why502Error."""
    sections = (
        *_gateways(given),
        *_metrics(given),
        *_pages(given),
        *_labels(given),
        *_objectives(given),
        *_receivers(given),
        *_heartbeat(given),
    )
    body = fill("sections.j2", sections=sections, mark=Safe("# "))
    settings = parse(body, Settings, PATH.name)
    settings.metrics.check()
    for objective in settings.objectives:
        objective.check()
    secrets = [path for path in (_slack(given)[0], given.get("--heartbeat"), *_files(given)) if path]
    notes = tuple(f"{path} must hold the secret, and only the daemon's user may read it" for path in secrets)
    if not settings.receivers:
        notes += ("no messages will be sent: give --alertmanager, --webhook, --slack or --email",)
    return Made(documents=(Document(name=PATH.name, body=body, mode=0o640),), product="why502 watch", notes=notes)


def _section(title: str, values: dict[str, Value], reason: str = "") -> Section:
    given = {name: value for name, value in values.items() if value not in ("", [])}
    return Section(Safe(title), _rows(given), comment(reason))


def _rows(values: dict[str, Value]) -> tuple[Row, ...]:
    return tuple(row(f"{name} = {toml(value)}") for name, value in values.items())


def _gateways(given: Given) -> Iterator[Section]:
    configs = [options.path("--config", value) for value in given.all("--config")]
    logs = [options.path("--log", value) for value in given.all("--log")]
    if configs or logs:
        yield _section("[gateways]", {"configs": configs, "logs": logs})


def _metrics(given: Given) -> Iterator[Section]:
    listen = given.get("--metrics")
    values: dict[str, Value] = {}
    if given.has("--metrics"):
        values["listen"] = "" if listen == "off" else listen
    if given.has("--textfile"):
        values["textfile"] = options.path("--textfile", given.get("--textfile"))
    if values:
        yield Section(Safe("[metrics]"), _rows(values))  # also the empty address, which means none


def _pages(given: Given) -> Iterator[Section]:
    if given.has("--url"):
        yield _section(
            "[serve]", {"url": _valid(check_url, "--url", given.get("--url"))}, "every message links to its incident there"
        )


def _labels(given: Given) -> Iterator[Section]:
    if given.has("--label"):
        pairs = [_pair("--label", value) for value in given.all("--label")]
        yield _section("[labels]", {options.name("--label", name): value for name, value in pairs}, "of every alert and metric")


def _pair(option: str, value: str) -> tuple[str, str]:
    name, sign, rest = value.partition("=")
    if not sign or not rest.isprintable() or not rest:
        raise refuse(option, value, "is not NAME=VALUE", "Write it like site=fra1.")
    return name, rest


def _objectives(given: Given) -> Iterator[Section]:
    for number, value in enumerate(given.all("--objective"), 1):
        place, _, percent = value.rpartition("=")
        try:
            share = float(percent) / 100
        except ValueError:
            raise refuse("--objective", value, "is not a percentage", "Write it like 99.9 or shop.example/=99.9.") from None
        if not 0 < share < 1 or not place.isprintable():
            raise refuse("--objective", value, "is not a percentage below 100", "Write it like 99.9 or shop.example/=99.9.")
        name = place.strip("/") or ("all" if number == 1 else f"all-{number}")
        values: dict[str, Value] = {"name": name, "share": round(share, 8), "location": place}
        yield _section("[[objectives]]", values, "over 30 days; alerts report how fast the error budget is used up")


def _valid(check: Callable[[str, str], None], option: str, value: str) -> str:
    try:
        check(option, value)
    except ValueError as error:
        raise Why502Error(str(error), f"Correct {option}; `why502 generate watch --help` shows its values.") from error
    return value


def _receivers(given: Given) -> Iterator[Section]:
    if given.has("--alertmanager"):
        urls: Value = [_valid(check_url, "--alertmanager", url) for url in given.all("--alertmanager")]
        reason = "every member of an Alertmanager cluster, never a load balancer in front of it"
        yield _section("[[receivers]]", {"kind": "alertmanager", "name": "alertmanager", "urls": urls}, reason)
    hooks = given.all("--webhook")
    for number, hook in enumerate(hooks, 1):
        name = "webhook" if len(hooks) == 1 else f"webhook-{number}"
        key = "url_file" if hook.startswith("/") else "url"
        where = options.path("--webhook", hook) if key == "url_file" else _valid(check_url, "--webhook", hook)
        yield _section("[[receivers]]", {"kind": "webhook", "name": name, key: where})
    token, channel = _slack(given)
    if token:
        yield _section("[[receivers]]", {"kind": "slack", "name": "slack", "token_file": token, "channel": channel})
    yield from _mail(given)


def _slack(given: Given) -> tuple[str, str]:
    value = given.get("--slack")
    token, _, channel = value.rpartition(",")
    if value and not (token and channel.isalnum()):
        raise refuse("--slack", value, "is not a file and a channel", "Write it like /etc/why502/slack-token,C0123456789.")
    return (options.path("--slack", token) if token else ""), channel


def _mail(given: Given) -> Iterator[Section]:
    to, host, sender = list(given.all("--email")), given.get("--mail-host"), given.get("--mail-from")
    if not (to or host or sender):
        return
    if not (to and host and sender):
        missing = next(name for name, value in (("--email", to), ("--mail-host", host), ("--mail-from", sender)) if not value)
        raise Why502Error(f"{missing} is missing", "Mail needs --email, --mail-host and --mail-from together.")
    everybody = [_valid(check_address, "--email", address) for address in to]
    sender = _valid(check_address, "--mail-from", sender)
    yield _section("[[receivers]]", {"kind": "email", "name": "mail", "host": host, "from": sender, "to": everybody})


def _heartbeat(given: Given) -> Iterator[Section]:
    if given.has("--heartbeat"):
        path = options.path("--heartbeat", given.get("--heartbeat"))
        yield _section("[heartbeat]", {"url_file": path}, "another service raises the alarm when these requests stop")


def _files(given: Given) -> tuple[str, ...]:
    return tuple(hook for hook in given.all("--webhook") if hook.startswith("/"))


KIND = Kind(
    name="watch",
    help="Write the settings of `why502 watch`.",
    example="why502 generate watch --alertmanager http://127.0.0.1:9093 --objective 99.9",
    options=OPTIONS,
    emit=emit,
    home=str(PATH.parent),
    order=8,
)
