"""A Caddy route, from what either form of its configuration says about a handler that proxies requests.

Sources: caddyserver.com/docs/caddyfile/directives/reverse_proxy, caddyserver.com/docs/modules/http.handlers.reverse_proxy.
Its defaults: `dial_timeout` 3 s, no limit for the response header.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from why502.gateways.go_programs import HEADER_BYTES
from why502.machine.trusted_issuers import BUNDLES
from why502.model.config import Peer, Position, Route, Setting, Upstream
from why502.model.target import Target

DIAL_S = 3.0
WAIT = "read_timeout"  # in a route's settings: the time limit of its transport for the answer, where it is written
ASKED = "forward_auth"  # in a route's settings: the seconds that Caddy waits for whom it asks first, and their addresses
_SCHEMES = {"http": "http", "https": "https", "h2c": "http", "unix": "http"}


@dataclass(slots=True, kw_only=True)
class Handling:
    """What a handler does. Times are seconds, 0.0 where none is set; `fail_s`: how long a server that failed is left out."""

    upstreams: list[str]
    at: Position
    hosts: tuple[str, ...] = ()  # as written, with scheme and port
    listens: tuple[str, ...] = ()
    listens_tls: bool = False
    location: str = ""
    protocol: str = "http"
    directive: str = "reverse_proxy"
    host_header: str = "$host"
    dial_s: float = 0.0
    write_s: float = 0.0
    answer_s: float = 0.0
    fail_s: float = 0.0
    max_fails: int = 1
    verifies: bool = True
    server_name: str = ""
    tls: dict[str, str] = field(default_factory=dict)  # trusted_certificate, certificate, certificate_key
    asked: tuple[Setting, ...] = ()
    wait: Setting | None = None


def route_of(handling: Handling) -> Route:
    """Return the route of a handler. Its group is called by its servers: Caddy has no names for groups."""
    words = handling.upstreams
    fails = handling.max_fails if handling.fail_s else 0
    peers = tuple(
        Peer(name=word, target=target_of(word), at=handling.at, max_fails=fails, fail_timeout_s=handling.fail_s, resolves=True)
        for word in words
    )
    schemes = {_SCHEMES.get(word.partition("://")[0], handling.protocol) for word in words if "://" in word}
    protocol = schemes.pop() if len(schemes) == 1 and handling.protocol == "http" else handling.protocol
    passes = " ".join(words)
    is_tls = protocol == "https"
    hosts = {peer.target.host if peer.target and not peer.target.is_address else "" for peer in peers}
    name = handling.server_name or (hosts.pop() if len(hosts) == 1 else "")
    given = {**handling.tls, "verified_name": name} if is_tls else {}
    if is_tls and handling.verifies and not given.get("trusted_certificate"):
        given["trusted_certificate"] = BUNDLES[0]  # Go trusts what the system trusts
    return Route(
        proxy="caddy",
        server=handling.hosts[0] if handling.hosts else "",
        server_names=tuple(name_of(host) for host in handling.hosts),
        listens=handling.listens,
        listens_tls=handling.listens_tls,
        location=handling.location,
        at=handling.at,
        directive=handling.directive,
        passes=passes,
        protocol=protocol,
        upstream=passes or None,
        peers=peers,
        has_variables=any("{" in word for word in words),
        http_version="1.1",
        host_header=handling.host_header,
        sends_sni=is_tls,
        sni_name=name if is_tls else "",
        verifies_tls=is_tls and handling.verifies,
        connect_timeout_s=handling.dial_s or DIAL_S,
        buffer_size_bytes=HEADER_BYTES,
        send_timeout_s=handling.write_s,
        read_timeout_s=handling.answer_s,
        next_upstream=(),
        settings=({ASKED: handling.asked} if handling.asked else {})
        | ({WAIT: (handling.wait,)} if handling.wait else {})
        | {
            f"{handling.directive}_ssl_{name}": (Setting(args=(value,), at=handling.at),)
            for name, value in given.items()
            if value
        },
    )


def groups_of(routes: tuple[Route, ...]) -> tuple[Upstream, ...]:
    """Return the group of each route, each once."""
    found = {route.upstream: Upstream(name=route.upstream, peers=route.peers, at=route.at) for route in routes if route.upstream}
    return tuple(found.values())


def name_of(host: str) -> str:
    """Return the host name in a site's address, without scheme, port and path; "" for an address without a host."""
    return host.rpartition("://")[2].partition("/")[0].partition(":")[0]


def target_of(word: str) -> Target | None:
    """Return the address of an upstream; None for a placeholder, or a name without port."""
    if "{" in word:
        return None
    if word.startswith("unix/"):
        return Target.unix(word.removeprefix("unix/").partition("|")[0])
    scheme, found, rest = word.partition("://")
    address = (rest.rpartition("@")[2] if found else word).removeprefix("tcp/").removeprefix("tcp4/").removeprefix("tcp6/")
    if address.startswith(":"):
        address = f"localhost{address}"
    target = Target.parse(address)
    if target is not None and not target.port and not target.path and found:
        return Target(host=target.host, port=443 if scheme == "https" else 80)
    return target if target is not None and (target.port or target.path) else None
