"""From HAProxy's sections to routes, groups and rules.

Source: doc/configuration.txt, sections 4 (proxy keywords) and 5 (bind and server options).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import msgspec

from why502.config.configuration import Configuration
from why502.config.tree import Tree
from why502.gateways.haproxy.config.parse import parse
from why502.gateways.haproxy.config.sections import PROXIES, Line, Section, Server, sections
from why502.gateways.haproxy.rules import Lookup, choices, denials, lookups
from why502.gateways.haproxy.server_tls import Bases, bases, server_tls
from why502.model.config import PROTOCOL, SOURCE, Peer, Position, Route, Setting, Upstream
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile
from why502.model.target import Target
from why502.model.times import whole_number

BUFFER_BYTES = 16 << 10
_TIME = lazy(r"(\d{1,12})(us|ms|s|m|h|d)?")
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST_OF_TEMPLATE = 64  # servers of one `server-template` that are listed
_MOST_COMPUTED = 64  # `use_backend` rules with an expression that are matched with the names of the backends
_TEMPLATE = lazy(r"(?:(\d{1,5})-)?(\d{1,5})")
_KEPT = (  # settings of a backend that explain its answers
    *("timeout connect", "timeout server", "timeout queue", "timeout check", "timeout tunnel", "timeout tarpit", "retries"),
    *("retry-on", "option redispatch", "option httpchk", "option tcp-check", "http-check", "tcp-check", "fullconn", "errorfiles"),
)


@dataclass(frozen=True, slots=True)
class Front:
    """The settings that a backend's route takes from the sections leading to it; shared by all backends of the same sections."""

    server: str | None
    listens: tuple[str, ...]
    names: tuple[str, ...]
    limits: tuple[Setting, ...]
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Globals:
    """What `global` sets for every server."""

    buffer_bytes: int
    limits: tuple[Setting, ...]
    base: Bases


_NO_FRONT = Front(None, (), (), ())


def load(text: str, file: str) -> Configuration:
    """Return the configuration in a complete or partial text; variables of the environment are unknown."""
    return together([(file, text)], None)


def together(texts: Iterable[tuple[str, str]], environment: Mapping[str, str] | None) -> Configuration:
    """Return the configuration that all files make, in their order.

    `environment`: the variables of the running process; None if they are unknown.
    """
    trees = trees_of(texts)
    found = sections(trees, environment)
    fronts = _fronts(found)
    general = _globals(found)
    routes: list[Route] = []
    upstreams: list[Upstream] = []
    for section in found:
        if section.kind not in ("backend", "listen", ""):
            continue
        servers = list(_servers(section))
        peers = tuple(peer for peer, _ in servers)
        if section.kind == "backend" or peers:
            method = " ".join(section.words("balance") or ("roundrobin",))
            upstreams.append(Upstream(name=section.name, peers=peers, at=section.at, method=method))
        if peers:
            routes.append(_route(section, servers, fronts.get(section.name, _NO_FRONT), general))
    return Configuration(
        files=tuple(ConfigFile(path=tree.file) for tree in trees),
        trees=trees,
        routes=tuple(routes),
        upstreams=tuple(upstreams),
        answers=tuple(
            answer
            for section in found
            if section.name and section.kind in PROXIES
            for answer in denials(section.name, _pairs(section.inherited()))
        ),
    )


def trees_of(texts: Iterable[tuple[str, str]]) -> tuple[Tree, ...]:
    """Return the trees of files, from their paths and texts."""
    return tuple(parse(text.encode("utf-8", "surrogateescape"), path) for path, text in texts)


def map_lookups(found: Iterable[Section]) -> tuple[Lookup, ...]:
    """Return the `use_backend` lines whose backend name comes from a map."""
    return tuple(each for section in found for each in lookups(section.name, _pairs(section.lines)))


def names(found: Iterable[Section]) -> frozenset[str]:
    """Return the backend names a `use_backend` may refer to."""
    return frozenset(section.name for section in found if section.kind in ("backend", "listen"))


def _pairs(lines: Iterable[Line]) -> Iterator[tuple[tuple[str, ...], Position]]:
    return ((line.words, line.at) for line in lines)


def _globals(found: list[Section]) -> _Globals:
    own = [section for section in found if section.kind == "global"]
    lines = [line for section in own for line in section.lines]
    written = next((line.words[1] for line in lines if line.words[0] == "tune.bufsize" and len(line.words) > 1), "")
    return _Globals(
        buffer_bytes=whole_number(written, 9) or BUFFER_BYTES,  # a buffer must hold a whole header
        limits=_limits(own),
        base=bases(line.words for line in lines),
    )


def _servers(section: Section) -> Iterator[tuple[Peer, dict[str, str]]]:
    """Yield the servers of a section with their options, in order: those after a `default-server` line inherit from it."""
    check = _check(section)
    for each in section.servers:
        if not each.is_template:
            yield _peer(each, each.name, check), each.options
            continue
        match = _TEMPLATE.fullmatch(each.numbers)
        first, last = (int(match[1] or 1), int(match[2])) if match else (1, 1)
        for number in range(first, min(last, first + _MOST_OF_TEMPLATE - 1) + 1):
            yield _peer(each, f"{each.name}{number}", check), each.options


def _check(section: Section) -> str:
    """Return what the checks of a section ask for: `option httpchk`, or its `http-check send`."""
    asked = section.settings.get("option httpchk")
    if asked is None:
        return "a connection"
    words = section.words("option httpchk")
    sent = next((line.words for line in section.settings.get("http-check", ()) if line.words[1:2] == ("send",)), ())
    options = dict(pairwise(sent))
    method, uri = (words[0], words[1]) if len(words) > 1 else ("OPTIONS", words[0] if words else "/")
    return f"{options.get('meth', method)} {options.get('uri', uri)}"


def _peer(server: Server, name: str, check: str) -> Peer:
    """Return the member on a `server` line: `server NAME ADDRESS[:PORT] [option…]`."""
    given = server.options
    target = _target(server.address)
    return Peer(
        name=server.address,
        label=name,
        target=target if target and (target.port or target.path) else None,
        at=server.at,
        is_backup="backup" in given,
        is_down="disabled" in given,
        max_conns=whole_number(given.get("maxconn", ""), 9) or 0,
        resolves="resolvers" in given,
        check=check if "check" in given else "",
        checked_at=_checked_at(target, given),
    )


def _target(address: str) -> Target | None:
    if address.startswith(("/", "unix@")):
        return Target(path=address.removeprefix("unix@"))
    if "$" in address or address.startswith(("abns@", "fd@", "rev@", "quic4@", "quic6@")):
        return None
    return Target.parse(re.sub(r"^(?:ipv[46]|tcp[46]?)@", "", address))


def _checked_at(target: Target | None, given: Mapping[str, str]) -> Target | None:
    """Return the address that the health checks of a server connect to, if it is not the server's own."""
    if target is None or target.is_unix or "check" not in given:
        return None
    host, port = given.get("addr", target.host), whole_number(given.get("port", ""), 5) or target.port
    found = Target(host=host, port=port) if port <= 65535 else None
    return found if found != target else None


def _fronts(found: list[Section]) -> dict[str, Front]:
    """Return the sections that lead to each backend, by the backend's name."""
    leading: dict[str, dict[int, Section]] = {}
    known = [section.name for section in found if section.kind in ("backend", "listen")]
    computed = 0
    for number, section in enumerate(found):
        if section.kind == "listen":
            leading.setdefault(section.name, {})[number] = section
        if section.kind not in PROXIES:
            continue
        for line in section.inherited():
            if line.words[0] in ("default_backend", "use_backend") and len(line.words) > 1:
                computed += "%[" in line.words[1]
                for name in choices(line.words[1], known if computed <= _MOST_COMPUTED else ()):
                    leading.setdefault(name, {})[number] = section
    made: dict[tuple[int, ...], Front] = {}
    for numbers in leading.values():
        if tuple(numbers) not in made:
            made[tuple(numbers)] = _front(list(numbers.values()))
    return {name: made[tuple(numbers)] for name, numbers in leading.items()}


def _front(leading: list[Section]) -> Front:
    lines = [line for section in leading for line in section.inherited()]
    binds = [line for line in lines if line.words[0] == "bind" and len(line.words) > 1]
    return Front(
        server=leading[0].name if leading else None,
        listens=tuple(" ".join(line.words[1:]) for line in binds),
        names=tuple(dict.fromkeys(_names(lines))),
        limits=_limits(leading),
        conditions=tuple(dict.fromkeys(line.condition for line in binds)) if all(line.condition for line in binds) else (),
    )


def _route(section: Section, servers: list[tuple[Peer, dict[str, str]]], front: Front, general: _Globals) -> Route:
    given = [each for _, each in servers]
    is_tcp = section.words("mode")[:1] in ((), ("tcp",))
    peers = tuple(peer for peer, _ in servers)
    tls = server_tls(given, general.base, peers[0].at)
    protocols = ["tcp" if is_tcp else _spoken(each) for each in given]
    peers = tuple(
        msgspec.structs.replace(peer, protocol="" if protocol == protocols[0] else protocol)  # "": the route's
        for peer, protocol in zip(peers, protocols, strict=True)
    )
    own = tuple(name for name in dict.fromkeys(_names(section.inherited())) if name not in front.names)
    limits = {"maxconn": found} if (found := general.limits + front.limits) else {}
    return Route(
        proxy="haproxy",
        server=section.name if front.server is None else front.server,
        listens=front.listens,
        at=peers[0].at,
        directive="server",
        passes=section.name,
        protocol=protocols[0],
        upstream=section.name or None,
        peers=peers,
        has_variables=any("$" in peer.name for peer in peers),
        server_names=front.names + own if own else front.names,
        host_header="$host",
        settings={**limits, **_kept(section), **tls.settings, **_towards(section, given, peers[0].at)},
        buffer_size_bytes=general.buffer_bytes,
        verifies_tls=tls.verifies,
        sends_sni=bool(tls.sni),
        sni_name=tls.sni,
        has_client_certificate="server_ssl_certificate" in tls.settings,
        connect_timeout_s=seconds(section.words("timeout connect"), 0.0),
        read_timeout_s=seconds(section.words("timeout server"), 0.0),
        send_timeout_s=seconds(section.words("timeout server"), 0.0),
        if_conditions=front.conditions,
    )


def _spoken(server: dict[str, str]) -> str:
    """Return the protocol of requests to a server in `mode http`. `proto fcgi` is FastCGI, as its `use-fcgi-app` describes
    (HAProxy's configuration manual, section 10); within TLS nobody but HAProxy speaks it, so only a connection can be tried.
    """
    is_tls, is_fastcgi = "ssl" in server, server.get("proto") == "fcgi"
    return "tcp" if is_tls and is_fastcgi else "fastcgi" if is_fastcgi else "https" if is_tls else "http"


def _kept(section: Section) -> dict[str, tuple[Setting, ...]]:
    """Return the settings in force that explain a backend's answers; `errorfile` with the status and the file of each."""
    found = {
        name: tuple(Setting(args=line.words[len(name.split()) :], at=line.at) for line in lines)
        for name in _KEPT
        if (lines := section.settings.get(name))
    }
    files = [lines[-1] for name, lines in section.settings.items() if name.startswith("errorfile ")]
    return {**found, "errorfile": tuple(Setting(args=line.words[1:], at=line.at) for line in files)} if files else found


def _towards(section: Section, given: list[dict[str, str]], at: Position | None) -> dict[str, tuple[Setting, ...]]:
    """Return the local address of connections (`source`), and the protocol set for all servers (`proto`)."""
    general = (section.words("source") or ("",))[0]
    sources = {each.get("source", general) for each in given}
    protocols = {each.get("proto", "") for each in given}
    values = {SOURCE: sources, PROTOCOL: protocols}
    return {name: (Setting(args=(found.pop(),), at=at),) for name, found in values.items() if len(found) == 1 and found != {""}}


_NAME = lazy(r"([a-z0-9](?:[\w-]{0,62}\.){1,8}[a-z]{2,24})(?::\d{1,5})?", re.IGNORECASE)
_HOST_FIELD = lazy(r"host:[ \\]{0,4}", re.IGNORECASE)  # text before it on the line of `option httpchk` is not escaped any more
_OF_HOST = lazy(r"(?:req\.)?hdr(?:_\w+)?\(host", re.IGNORECASE)


def _names(lines: Iterable[Line]) -> Iterator[str]:
    """Yield the host names in rules and health checks: clients send one of these."""
    for line in lines:
        words = [word.lower() for word in line.words]
        is_rule = words[0] in ("acl", "use_backend", "http-request") and any(_OF_HOST.match(word) for word in words)
        is_check = words[0] == "http-check" and "hdr" in words and "host" in words
        if is_rule or is_check or words[:2] == ["option", "httpchk"]:
            for word in line.words[1:]:
                if match := _NAME.fullmatch(_HOST_FIELD.split(word)[-1].strip()):
                    yield match[1]


def _limits(found: Iterable[Section]) -> tuple[Setting, ...]:
    """Return the `maxconn` in force of each section that has one."""
    lines = [line for section in found for line in section.settings.get("maxconn", ()) if len(line.words) > 1]
    return tuple(Setting(args=line.words[1:2], at=line.at) for line in lines)


@lru_cache(1 << 10)
def seconds(words: tuple[str, ...], default: float) -> float:
    """Return a time in seconds: HAProxy's unit without a suffix is the millisecond."""
    match = _TIME.fullmatch(words[0]) if words else None
    return int(match[1]) * _UNITS_S[match[2] or ""] if match else default
