"""Files that belong together, checked against each other: ports, the socket's owner, timeouts, uploads, times of a stop.

Most of it is what the linter finds when it sees all of them. Here is what it has no rule for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from why502.backends.php_fpm import config as php_fpm
from why502.config.configuration import Configuration
from why502.deployment.applications import drain_of
from why502.deployment.files import Deployment, same_path
from why502.gateways.behaviour import read_limit_s
from why502.gateways.nginx.config import load
from why502.gateways.nginx.config import units as sizes
from why502.linter.engine import lint
from why502.model.config import Route
from why502.model.errors import Missing
from why502.model.finding import Severity
from why502.model.service import PhpPool
from why502.supervisors.systemd import unit_files
from why502.supervisors.systemd.unit_files import Unit

_NGINX = "/etc/nginx/nginx.conf"
_STOP_S = 90.0  # DefaultTimeoutStopSec, systemd-system.conf(5)
_BODY = "1m"  # client_max_body_size
_UPLOAD, _POST = "2M", "8M"  # upload_max_filesize and post_max_size, php.ini


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of one application: a whole nginx.conf with the site, for a version; units and pools by their paths."""

    site: str
    version: str
    units: dict[str, str] = field(default_factory=dict)
    pools: dict[str, str] = field(default_factory=dict)


# Notes for a repository, which need not hold every program and pool of its machines. Generated files are all that there is.
_MEANS_A_MISTAKE_HERE = frozenset({"W502-030", "W502-034"})


def contradictions(written: Written) -> Iterator[str]:
    """Yield a sentence for each way in which two of the files do not fit each other."""
    units = tuple(unit_files.parse(text.encode(), path) for path, text in written.units.items())
    entries = tuple(entry for path, text in written.pools.items() for entry in php_fpm.parse(text.encode(), path))
    configuration = load(_only(written.site), _nowhere, _NGINX, version=written.version)
    pools = php_fpm.pools(entries)
    deployment = Deployment(configuration=configuration, version=written.version, pools=pools, pool_entries=entries, units=units)
    risks, _ = lint(deployment)
    told = (risk for risk in risks if risk.severity is not Severity.NOTE or risk.rule in _MEANS_A_MISTAKE_HERE)
    yield from (f"{risk.message} ({risk.rule})" for risk in told)
    # Paths for WebSockets and event streams wait longer, and a stop cuts them.
    waits_s = min((read_limit_s(route) for route in configuration.routes if route.peers), default=0.0)
    for unit in units:
        yield from _stops(unit, waits_s)
        yield from _socket(unit, configuration)
    for pool in pools:
        settings = {entry.name: entry.value for entry in entries if entry.section == pool.name}
        for route in _routes_to(configuration, pool):
            yield from _times(pool.name, settings, route)
            yield from _uploads(pool.name, settings, route, deployment)


def _stops(unit: Unit, waits_s: float) -> Iterator[str]:
    """A unit that is killed while the proxy still waits for it, or while it still ends its own requests."""
    stop_s = _seconds(unit.value("TimeoutStopSec"), _STOP_S)
    if stop_s <= waits_s:
        yield f"{unit.file} is killed {stop_s:g} s after a stop, and the proxy waits {waits_s:g} s for its answers"
    drain_s = drain_of(unit.argv)
    if drain_s is not None and drain_s >= stop_s:
        yield f"{unit.file} is killed {stop_s:g} s after a stop, and its command gives requests {drain_s:g} s to end"


def _socket(unit: Unit, configuration: Configuration) -> Iterator[str]:
    """A socket of a unit that the proxy's workers cannot open: connecting needs the right to write (unix(7))."""
    made = tuple(f"/run/{name}/" for entry in unit.all("RuntimeDirectory") for name in entry.value.split())
    peers = {peer.target for route in configuration.routes for peer in route.peers if peer.target and peer.target.is_unix}
    worker, mask = configuration.user, int(unit.value("UMask") or "0022", 8)
    if not worker or worker in ("root", unit.value("User")):
        return
    is_open = not mask & 0o002 or (unit.value("Group") == worker and not mask & 0o020)
    for target in sorted(peers, key=str):
        if target.path.startswith(made) and not is_open:
            yield f"{unit.file} makes {target} for its own user and group, and the proxy's workers run as {worker}"


def _times(name: str, settings: dict[str, str], route: Route) -> Iterator[str]:
    """A pool whose scripts may run longer than the proxy waits, or than the pool lets them."""
    script_s = _seconds(settings.get("php_admin_value[max_execution_time]", ""), 0.0)
    ends_s = php_fpm.seconds(settings.get("request_terminate_timeout", "0")) or 0.0
    if script_s >= read_limit_s(route):
        yield f"the proxy waits {read_limit_s(route):g} s, and PHP lets a script of pool {name} run for {script_s:g} s"
    if ends_s and script_s >= ends_s:
        yield f"pool {name} kills a child after {ends_s:g} s, and PHP lets its script run for {script_s:g} s"


def _uploads(pool: str, settings: dict[str, str], route: Route, deployment: Deployment) -> Iterator[str]:
    """Uploads that the proxy accepts and PHP drops, or the other way round. PHP's defaults may exceed those of the proxy."""
    level = deployment.level(route)
    body = (level.first("client_max_body_size") if level else None) or _BODY
    accepted = sizes.size(body) or 0
    for name, usual in (("upload_max_filesize", _UPLOAD), ("post_max_size", _POST)):
        own = settings.get(f"php_admin_value[{name}]", "")
        if (sizes.size(own) != accepted) if own else (sizes.size(usual) or 0) < accepted:
            yield f"the proxy accepts bodies of {body}, and {name} of pool {pool} is {own or usual}"


def _routes_to(configuration: Configuration, pool: PhpPool) -> Iterator[Route]:
    for route in configuration.routes:
        if any(same_path(peer.target) == same_path(pool.target) for peer in route.peers):
            yield route


def _seconds(text: str, usual: float) -> float:
    """Return a time of a unit or of PHP in whole seconds, as generated files state it."""
    return float(text) if text.isascii() and text.isdigit() else usual


def _only(text: str) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        if path != _NGINX:
            raise Missing("it is not generated")
        return text.encode()

    return read


def _nowhere(_: str) -> list[str]:
    raise Missing("it is not generated")
