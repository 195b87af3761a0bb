"""No local port is left for new connections to the target, usually because connections are not kept alive.

Each connection to one address and port needs its own local port, and holds it for a minute in TIME-WAIT after it is closed. When
none is free, connect() fails with EADDRNOTAVAIL (99) and nginx answers 502 immediately.

## Do not confuse with
- `proxy-bind-failed`: proxy_bind names an address that this machine does not have.

## Confirm
- Compare `ss -Htan dst ADDRESS:PORT | wc -l` with `sysctl net.ipv4.ip_local_port_range`.

## Fix
- Keep connections to the backend open. Otherwise add peers or local addresses.
- nginx: `keepalive` in the upstream block, with HTTP/1.1 and an empty Connection header (the default since 1.29.7).

## References
- https://man7.org/linux/man-pages/man7/ip.7.html (ip_local_port_range, EADDRNOTAVAIL)
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.config import edit
from why502.deployment.files import Deployment, Level
from why502.deployment.headers import add
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.config import Route
from why502.model.finding import PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.target import Transport
from why502.remedies.changes import KEPT, enable_keepalive, reload


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    lost = case.tally(Symptom.NO_LOCAL_PORT)
    if case.seen(Symptom.NO_LOCAL_PORT) and case.target is not None and ":" in case.target.host:
        yield refutes(
            "it is an IPv6 address: a more common reason is that this machine has no IPv6 address to connect from",
            lost.source if lost else "probe",
            PROOF,
        )
    kernel = case.here.kernel
    if kernel and kernel.ports_first is not None and kernel.ports_last is not None and case.target is not None:
        room = kernel.ports_last - kernel.ports_first + 1
        used = kernel.of(case.target, kernel.ports_used) or 0
        if case.seen(Symptom.NO_LOCAL_PORT) and used:
            yield supports(
                f"{used} of {room} local ports are in use towards {case.target}", "ss -tan", STRONG if used > 0.8 * room else WEAK
            )
    if case.seen(Symptom.NO_LOCAL_PORT) and case.route and not case.route.keepalive:
        yield supports("no connection to this target is kept alive", str(case.route.at or ""), WEAK)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return edits that keep connections open, in the group or in a new group for the route's only address."""
    if case.seen(Symptom.NO_LOCAL_PORT) and (changes := enable_keepalive(case)):
        message = f"keep {KEPT} connections to {case.target} open and reuse them (existing ones stay in TIME_WAIT for a minute)"
        yield Remedy(message=message, steps=(*changes, *reload(case.proxy)))


_METHODS = ("least_conn", "ip_hash", "hash", "random", "least_time")


def _asks_for_keepalive(deployment: Deployment, protocols: tuple[str, ...]) -> Iterator[tuple[Route, Level]]:
    """Yield the routes whose group sets `keepalive N`."""
    asked = {group.name for group in deployment.upstreams if group.keepalive_at is not None and group.keepalive > 0}
    for route in deployment.routes_of(*protocols) if asked else ():
        level = deployment.level(route) if route.upstream in asked else None
        if level is not None and level.is_known:
            yield route, level


@rule(40, "keepalive-needs-http-1.1", Severity.WARNING)
def keepalive_version(deployment: Deployment) -> Iterator[Risk]:
    """A group keeps connections alive, but the route uses HTTP/1.0, so none is kept.

    Before nginx 1.29.7 proxy_http_version is 1.0 and nginx sends `Connection: close`. Each request opens a connection, and under
    load the local ports run out.
    """
    for route, level in _asks_for_keepalive(deployment, ("http", "https")):
        if route.http_version == "1.0":
            message = f'upstream "{route.upstream}" keeps connections, but this route uses HTTP/1.0'
            yield risk(message, route.at, _spoken(deployment, route, level))


def _spoken(deployment: Deployment, route: Route, level: Level) -> Remedy:
    """Return the remedy that makes the route keep connections, with an edit if that does not remove other headers."""
    message = '`proxy_http_version 1.1; proxy_set_header Connection "";`'
    tree = deployment.trees.get(route.at.file) if route.at else None
    is_free = not route.headers or bool(level.own("proxy_set_header"))
    has_connection = any(name.lower() == "connection" for name, _ in route.headers)
    if tree is None or route.at is None or not is_free or has_connection or "proxy_http_version" in level.settings:
        return Remedy(message=add(level, message.strip("`")))
    line = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    return Remedy(message=f"add {message}", steps=(edit.insert_after(tree, route.at, line),), safe=True)


@rule(41, "keepalive-needs-connection-header", Severity.WARNING)
def keepalive_connection(deployment: Deployment) -> Iterator[Risk]:
    """A group keeps connections alive, but the request asks the backend to close them.

    Before nginx 1.29.7 nginx sends `Connection: close` by default. The usual map for WebSockets sends `close` for all other
    requests, in any version.
    """
    for route, level in _asks_for_keepalive(deployment, ("http", "https")):
        if route.http_version != "1.1":
            continue
        values = [value for name, value in route.headers if name.lower() == "connection"]
        message = f'upstream "{route.upstream}" keeps connections, but this route sends `Connection: close`'
        if not values and not deployment.since(1, 29, 7):
            yield risk(message, route.at, add(level, 'proxy_set_header Connection "";'))
        elif any("close" in meant.lower() for value in values for meant in deployment.meant(value)):
            is_mapped = not any("close" in value.lower() for value in values)
            advice = 'make the map return "" instead of close' if is_mapped else 'write `proxy_set_header Connection "";`'
            yield risk(message, route.at, advice, severity=Severity.NOTE if is_mapped else None)


@rule(42, "keepalive-before-method", Severity.WARNING)
def keepalive_order(deployment: Deployment) -> Iterator[Risk]:
    """`keepalive` is placed before the balancing method, which disables it.

    Before nginx 1.29.7 the balancing method overrides keepalive (warning: `load balancing method redefined`), and no connection
    is kept.
    """
    for level in () if deployment.since(1, 29, 7) else deployment.blocks("upstream"):
        names = [directive.name for directive in level.directives]
        methods = [name for name in names if name in _METHODS]
        if "keepalive" in names and methods and names.index("keepalive") < names.index(methods[0]):
            yield risk(
                f"{methods[0]} comes after keepalive and disables it", level.own("keepalive")[0].at, f"move it below {methods[0]}"
            )


@rule(43, "fastcgi-keepalive-off", Severity.WARNING)
def fastcgi_keepalive(deployment: Deployment) -> Iterator[Risk]:
    """A group keeps connections alive, but FastCGI closes them.

    `fastcgi_keep_conn` is off by default: the backend closes the connection after each response.
    """
    for route, level in _asks_for_keepalive(deployment, ("fastcgi",)):
        if level.first("fastcgi_keep_conn") != "on":
            yield risk(
                f'upstream "{route.upstream}" keeps connections, but fastcgi_keep_conn is off',
                route.at,
                "add `fastcgi_keep_conn on;`",
            )


CAUSE = Cause(
    id="ephemeral-ports-exhausted",
    layer=Layer.PROXY,
    transport=Transport.TCP,
    lingers_s=65.0,  # a closed connection holds its local port for 60 s (TCP_TIMEWAIT_LEN, include/net/tcp.h)
    message="no local port is left for new connections to the target, usually because connections are not kept alive",
    headline="no local port is left for new connections to {target}",
    symptoms={Symptom.NO_LOCAL_PORT: 5.0},
    needs=frozenset({"kernel"}),
    examine=examine,
    remedies=remedies,
    foresee=(
        keepalive_version,
        keepalive_connection,
        keepalive_order,
        fastcgi_keepalive,
    ),
)
