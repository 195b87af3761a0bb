"""`why502 generate all`: the site, the unit or pool behind it, and the rotation of its logs, checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from why502.backends.php_fpm import config as php_fpm
from why502.deployment.files import Deployment
from why502.gateways.nginx.config import load
from why502.generate import program, wishes
from why502.generate.fpm_pool import kind as pools
from why502.generate.kind import Kind, Made, around
from why502.generate.logrotate import kind as rotation
from why502.generate.nginx import kind as sites
from why502.generate.options import Given, Option
from why502.generate.site import Site, Speech
from why502.generate.systemd import kind as units
from why502.host.base import Host
from why502.linter.engine import lint
from why502.model.errors import Missing, Why502Error
from why502.model.finding import Severity
from why502.supervisors.systemd import unit_files

_NGINX = tuple(option for option in sites.KIND.options if option.name not in ("--whole", "--connections"))
_PROGRAM = tuple(option for option in program.OPTIONS if option.name not in ("--name", "--app", "--read-timeout"))
_POOL = tuple(option for option in pools.OPTIONS if option.name in ("--child", "--processors", "--php", "--proxy-user"))
OPTIONS: tuple[Option, ...] = (*_NGINX, *_PROGRAM, *_POOL)


def emit(given: Given, host: Host) -> Made:
    """Return all files. Raises Why502Error, also if two of them contradict each other."""
    made = wishes.site(given, around(host))
    parts = [(sites.KIND, sites.KIND.emit(_of(given, sites.KIND), host))]
    times = {"--read-timeout": (f"{made.times.read_s}s",)}
    if given.has("--exec"):
        own = {"--app": given.all("--app")[:1], "--name": (made.name.replace("_", "-"),), **times}
        parts.append((units.KIND, units.KIND.emit(_of(given, units.KIND, own), host)))
    if made.speech is Speech.FASTCGI:
        parts.append((pools.KIND, pools.KIND.emit(_of(given, pools.KIND, {**_pool(made), **times}), host)))
    rotated = {"--domain": given.all("--domain")[:1]} if made.domains else {}
    parts.append((rotation.KIND, rotation.KIND.emit(_of(given, rotation.KIND, rotated), host)))
    documents = tuple(
        replace(document, home=part.home or kind.home, product=part.product)
        for kind, part in parts
        for document in part.documents
    )
    contradictions = tuple(_contradictions(made, parts, given, host))
    if contradictions:
        raise Why502Error(f"the files contradict each other: {contradictions[0]}", "Change one of the options that it names.")
    pinned = dict.fromkeys(pair for _, part in parts for pair in part.pinned if pair[0] in {option.name for option in OPTIONS})
    return Made(
        documents=documents,
        product=parts[0][1].product,
        notes=tuple(dict.fromkeys(note for _, part in parts for note in part.notes)),
        pinned=tuple(pinned),
    )


def _of(given: Given, kind: Kind, own: dict[str, tuple[str, ...]] | None = None) -> Given:
    """Return the options of one kind, with those that follow from the others."""
    known = {option.name for option in kind.options}
    values = {name: values for name, values in given.values.items() if name in known}
    return Given({**values, **(own or {})}, given.sources)


def _pool(made: Site) -> dict[str, tuple[str, ...]]:
    """Return the options of the pool that follow from the site. Raises Why502Error."""
    target = made.group.peers[0].target
    if not target.is_unix:
        raise Why502Error("--app: a pool of our own listens on a socket", "Write it like --app unix:/run/php/shop.sock.")
    found: dict[str, tuple[str, ...]] = {"--socket": (target.path,), "--name": (made.name,)}
    if made.limits.max_body_bytes:
        found["--max-body"] = (str(made.limits.max_body_bytes),)
    return found


def _contradictions(made: Site, parts: list[tuple[Kind, Made]], given: Given, host: Host) -> Iterator[str]:
    """Yield what the linter finds when it sees all files together: ports, sockets and their owners, timeouts, uploads.

    Then what it has no rule for: a unit that is killed while the proxy still waits for it.
    """
    whole = sites.KIND.emit(_of(given, sites.KIND, {"--whole": ("",)}), host)
    version = whole.product.rpartition(" ")[2]
    texts = [(kind, document) for kind, part in parts for document in part.documents]
    found_units = tuple(
        unit_files.parse(one.body.encode(), f"{kind.home}/{one.name}") for kind, one in texts if kind is units.KIND
    )
    entries = tuple(
        entry for kind, one in texts if kind is pools.KIND for entry in php_fpm.parse(one.body.encode(), f"/{one.name}")
    )
    deployment = Deployment(
        configuration=load(_only(whole.documents[0].body), _nowhere, "/etc/nginx/nginx.conf", version=version),
        version=version,
        pools=php_fpm.pools(entries),
        pool_entries=entries,
        units=found_units,
    )
    risks, _ = lint(deployment)
    yield from (f"{risk.message} ({risk.rule})" for risk in risks if risk.severity is not Severity.NOTE)
    for unit in found_units:
        stops = next((entry.value for entry in unit.entries if entry.name == "TimeoutStopSec"), "")
        if stops.isdigit() and int(stops) <= made.times.read_s:
            yield f"{unit.file} is killed after {stops} s, and the proxy waits {made.times.read_s} s"


def _only(text: str) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        if path != "/etc/nginx/nginx.conf":
            raise Missing("it is not generated")
        return text.encode()

    return read


def _nowhere(_: str) -> list[str]:
    raise Missing("it is not generated")


KIND = Kind(
    name="all",
    help="A site for nginx, with all that belongs to it.",
    example="why502 generate all --app 127.0.0.1:3000 --domain shop.example --exec '/usr/bin/node /srv/shop/server.js' -o ROOT",
    options=OPTIONS,
    emit=emit,
    is_site=True,
)
