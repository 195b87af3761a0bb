"""The targets of pass directives, and the settings in force for them (src/http/ngx_http_upstream.c, src/core/ngx_inet.c)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from why502.gateways.nginx.config import units, variables
from why502.gateways.nginx.config.defaults import SERVER_PORT, Defaults, Pass
from why502.gateways.nginx.config.files import Directive
from why502.gateways.nginx.config.scope import Settings
from why502.model.base import Value
from why502.model.config import Peer, Position, Upstream
from why502.model.patterns import lazy
from why502.model.proxy import ConfigProblem
from why502.model.target import Target

_BAD_PORT = lazy(r"(?!(?i:unix):)[^\[\]:]+:(?!\d{1,5}$).*")  # a name or IPv4 address with an invalid port
_METHODS = frozenset({"ip_hash", "hash", "least_conn", "least_time", "random", "sticky", "fair", "balancer_by_lua_block"})
_AUTHORITY = lazy(r"(?:\[[^\]/?]*\]|[^/?\[])*?(?=[/?]|\$\{?(?:request_uri|uri|document_uri|is_args)\b|$)")


class Passed(Value, frozen=True, kw_only=True):
    """The parts of the argument of a pass directive. `scheme` as written, `://` included."""

    scheme: str
    protocol: str
    authority: str
    uri: str | None


class Aim(Value, frozen=True, kw_only=True):
    """The destination of a pass directive. `peers` holds every one that its variables may refer to."""

    protocol: str
    uri: str | None
    proxy_host: str
    upstream: Upstream | None
    peers: tuple[Peer, ...]
    problems: tuple[ConfigProblem, ...] = ()


def aim(
    directive: Directive,
    kind: Pass,
    values: variables.Values,
    upstreams: Mapping[str, Upstream],
    members: dict[str, tuple[Peer, ...]],
    *,
    is_tls: bool,
) -> Aim:
    """Return the destination of a pass directive. `is_tls`: whether `$scheme` is https there.

    `members`: the peers of groups by name, shared by all routes to a group; it is filled during the call.
    """
    written = directive.args[0]
    is_fixed = not variables.is_in(written)
    texts: tuple[str, ...] = (written,)
    if not is_fixed:
        known = ChainMap(values, {"scheme": ("https" if is_tls else "http",)})  # type: ignore[arg-type]  # only read
        texts = variables.expanded(written, known)
    ways = [split(text, kind) for text in texts]
    groups = {way.authority.lower(): upstreams.get(way.authority.lower()) for way in ways}
    peers: dict[str, Peer] = {}
    shared: tuple[Peer, ...] = ()
    for way in ways:
        if found := groups[way.authority.lower()]:
            if found.name not in members:
                members[found.name] = _members(found)
            if len(ways) == 1:
                shared = members[found.name]
            peers.update((peer.name, peer) for peer in (() if shared else members[found.name]))
        elif way.authority:
            to = target(way.authority, kind.ports.get(way.protocol, 0))
            resolves = not is_fixed and to is not None and not to.is_address
            peers.setdefault(way.authority, Peer(name=way.authority, target=to, at=directive.at, resolves=resolves))
    way = ways[0]
    return Aim(
        protocol=way.protocol or next(iter(kind.schemes.values())),
        uri=way.uri,
        proxy_host=_proxy_host(way, kind),
        upstream=next(iter(groups.values())) if len(groups) == 1 else None,
        peers=shared or tuple(peers.values()),
        problems=tuple(_refusals(way, kind, directive.at, upstreams)) if is_fixed else (),
    )


def _members(group: Upstream) -> tuple[Peer, ...]:
    """Return the peers of a group; of several with the same name, the last."""
    named = {peer.name: peer for peer in group.peers}
    return tuple(named.values()) if len(named) < len(group.peers) else group.peers


def _proxy_host(way: Passed, kind: Pass) -> str:
    if way.authority.startswith("unix:"):
        return "localhost"
    port = kind.ports.get(way.protocol)
    return way.authority.removesuffix(f":{port}") if port else way.authority


def _refusals(way: Passed, kind: Pass, at: Position, upstreams: Mapping[str, Upstream]) -> Iterator[ConfigProblem]:
    """Yield nginx's error messages for an invalid argument."""
    message = ""
    name = way.authority
    found = target(name)
    if not way.protocol or (way.scheme == "" and "" not in kind.schemes):
        message = "invalid URL prefix"
    elif name.lower() in upstreams:
        return
    elif found is None or _BAD_PORT.fullmatch(name):
        given = name + (way.uri or "")
        message = f'invalid port in upstream "{given}"' if ":" in name else f'no host in upstream "{given}"'
    elif found.port and found.host.lower() in upstreams:
        message = f'upstream "{found.host}" may not have port {found.port}'
    elif not found.port and not found.is_unix and way.protocol not in kind.ports:
        message = f'no port in upstream "{name}"'
    if message:
        yield ConfigProblem(message=message, at=at, source=at.file)


def in_force(
    directive: str, kind: Pass, settings: Settings, defaults: Defaults, problems: dict[ConfigProblem, None]
) -> dict[str, Any]:
    """Return the fields of a Route set by the directives in force, with nginx's defaults; invalid values are recorded."""
    module = directive.removesuffix("_pass")
    is_stream = "tcp" in kind.schemes.values()

    def args(name: str) -> tuple[str, ...]:
        found = settings.get(f"{module}_{name}")
        return found[-1].args if found else ()

    def measure(name: str, read: Callable[[str], float | None], default: float, index: int = 0) -> float:
        given = args(name)[index : index + 1]
        if not given or variables.is_in(given[0]):
            return default
        value = read(given[0])
        if value is None:
            at = settings[f"{module}_{name}"][-1].at
            problem = ConfigProblem(message=f'"{module}_{name}" directive invalid value', at=at)
            problems[problem] = None
        return default if value is None else value

    def is_on(name: str) -> bool:
        return args(name)[:1] == ("on",)

    headers = tuple(
        (setting.args[0], setting.args[1]) for setting in settings.get(kind.header_directive, ()) if len(setting.args) > 1
    )
    host = next((value for name, value in headers if name.lower() == "host"), kind.host_header)
    stream_timeout_s = measure("timeout", units.time, 600.0) if is_stream else 60.0
    http_version = args("http_version")[:1] if directive == "proxy_pass" else ()
    next_upstream = args("next_upstream") or ("error", "timeout")
    return {
        "http_version": (http_version or (defaults.http_version if kind.http_version is None else kind.http_version,))[0],
        "host_header": host,
        "headers": headers,
        "sends_sni": is_on("ssl_server_name"),
        "sni_name": (args("ssl_name") or ("$proxy_host",))[0],
        "verifies_tls": is_on("ssl_verify"),
        "has_client_certificate": bool(args("ssl_certificate")),
        "connect_timeout_s": measure("connect_timeout", units.time, 60.0),
        "send_timeout_s": stream_timeout_s if is_stream else measure("send_timeout", units.time, 60.0),
        "read_timeout_s": stream_timeout_s if is_stream else measure("read_timeout", units.time, 60.0),
        "buffer_size_bytes": int(measure("buffer_size", units.size, 16384 if is_stream else 4096)),
        "buffers_count": int(measure("buffers", units.number, 8)),
        "buffer_bytes": int(measure("buffers", units.size, 4096, 1)),
        "next_upstream": ("error", "timeout") if next_upstream == ("on",) else next_upstream,
        "next_upstream_tries": int(measure("next_upstream_tries", units.number, 0)),
        "resolver": tuple(word for word in _last(settings, "resolver") if "=" not in word),
    }


def _last(settings: Settings, name: str) -> tuple[str, ...]:
    found = settings.get(name)
    return found[-1].args if found else ()


def group(directive: Directive, defaults: Defaults | None) -> Upstream:
    """Return the group of an `upstream` block. `defaults`: None in `stream`, which keeps no idle connections."""
    method, keepalive, timeout_s, at, zone = "round-robin", defaults.keepalive if defaults else 0, 60.0, None, ""
    peers = []
    is_chosen_by_code = any(
        line.name.startswith("balancer_by_lua") for line in directive.children or ()
    )  # its servers are dummies
    for line in directive.children or ():
        if line.name == "server" and line.args and not is_chosen_by_code:
            peers.append(_member(line))
        elif line.name in _METHODS:
            method = line.name.removesuffix("_block")
        elif line.name == "keepalive" and line.args:
            keepalive, at = units.number(line.args[0]) or 0, line.at
        elif line.name == "keepalive_timeout" and line.args:
            timeout_s = _or(units.time(line.args[0]), timeout_s)
        elif line.name == "zone" and line.args:
            zone = line.args[0]
    return Upstream(
        name=directive.args[0] if directive.args else "",
        peers=tuple(peers),
        at=directive.at,
        method=method,
        keepalive=keepalive,
        keepalive_timeout_s=timeout_s,
        keepalive_at=at,
        zone=zone,
    )


@lru_cache(1 << 15)  # of a site with thousands of ports, too
def target(name: str, port: int = 0) -> Target | None:
    """Return the address in a text; None if it contains a variable or is invalid."""
    if variables.is_in(name):
        return None
    if name[:5].lower() == "unix:":
        return Target.unix(name[5:]) if name[5:] else None
    found = Target.parse(name)
    if found is None or found.is_unix or found.port:
        return found
    return Target(host=found.host, port=port)


def split(text: str, kind: Pass) -> Passed:
    """Return the parts of the argument of a pass directive (including variables)."""
    lowered = text.lower()
    scheme = next((s for s in kind.schemes if s and lowered.startswith(s)), "")
    if not scheme and (match := re.match(r"\$\{?\w+\}?://", text)):
        scheme = match[0]
    protocol = kind.schemes.get(scheme, "" if scheme else kind.schemes.get("", ""))
    rest = text[len(scheme) :]
    if rest[:5].lower() == "unix:":
        path, colon, uri = rest[5:].partition(":") if kind.has_uri else (rest[5:], "", "")
        return Passed(scheme=scheme, protocol=protocol, authority=f"unix:{path}", uri=uri if colon and uri else None)
    if not kind.has_uri:
        return Passed(scheme=scheme, protocol=protocol, authority=rest, uri=None)
    match = _AUTHORITY.match(rest)
    end = match.end() if match else len(rest)
    return Passed(scheme=scheme, protocol=protocol, authority=rest[:end], uri=rest[end:] or None)


def _member(line: Directive) -> Peer:
    words = dict(word.partition("=")[::2] for word in line.args[1:])
    return Peer(
        name=line.args[0],
        target=target(line.args[0], SERVER_PORT),
        at=line.at,
        is_backup="backup" in words,
        is_down="down" in words,
        max_fails=int(_or(units.number(words.get("max_fails", "")), 1)),
        fail_timeout_s=_or(units.time(words.get("fail_timeout", "")), 10.0),
        max_conns=units.number(words.get("max_conns", "")) or 0,
        resolves="resolve" in words,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
