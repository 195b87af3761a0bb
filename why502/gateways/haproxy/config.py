"""The parts of a haproxy.cfg that a diagnosis needs: the servers of each backend, and their timeouts.

Source: doc/configuration.txt, sections 2 (format) and 4 (keywords). Read-only; unknown keywords are skipped.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from why502.config.configuration import Configuration
from why502.gateways.haproxy.rules import Lookup, denials, lookups
from why502.gateways.haproxy.server_tls import Bases, bases, options, server_tls
from why502.model.config import PROTOCOL, SOURCE, Peer, Position, Route, Setting, Upstream
from why502.model.patterns import lazy
from why502.model.snapshot import ConfigFile
from why502.model.target import Target
from why502.model.times import whole_number

_SECTIONS = frozenset(
    "global defaults frontend backend listen resolvers peers mailers userlist program http-errors ring cache".split()
)
_TIME = lazy(r"(\d{1,12})(us|ms|s|m|h|d)?")
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST_LINES = 200_000
BUFFER_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Line:
    """A keyword with its arguments."""

    words: tuple[str, ...]
    at: Position


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its kind, its name, its lines."""

    kind: str
    name: str
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Front:
    """The settings that a backend's route takes from the sections leading to it; shared by all backends of the same sections."""

    server: str | None
    listens: tuple[str, ...]
    names: tuple[str, ...]
    limits: dict[str, tuple[Setting, ...]]


_NO_FRONT = Front(None, (), (), {})


def load(text: str, file: str) -> Configuration:
    """Return the configuration in a complete or partial text."""
    found = sections(text, file)
    fronts = _fronts(found)
    buffer_bytes = _buffer_bytes(found)
    limits = _limits([line for section in found if section.kind == "global" for line in section.lines])
    base = bases(line.words for section in found if section.kind == "global" for line in section.lines)
    inherited: dict[str, str] = {}
    defaults: dict[str, tuple[str, ...]] = {}
    routes: list[Route] = []
    upstreams: list[Upstream] = []
    for section in found:
        if section.kind == "defaults":
            defaults = {**defaults, **_settings(section)}
            inherited = _default_server(section, inherited)
        elif section.kind in ("backend", "listen", ""):
            peers = tuple(peer for line in section.lines if (peer := _peer(line)))
            if not peers:
                continue
            settings = {**defaults, **_settings(section)}
            given = _given(section, inherited)
            if settings.get("mode", ("tcp",)) != ("tcp",):
                peers = _with_protocols(peers, given)
            upstreams.append(Upstream(name=section.name, peers=peers, method=" ".join(settings.get("balance", ("roundrobin",)))))
            routes.append(
                _route(section, peers, settings, fronts.get(section.name, _NO_FRONT), buffer_bytes, given, base, limits)
            )
    answers = tuple(
        answer
        for section in found
        if section.name
        for answer in denials(section.name, ((line.words, line.at) for line in section.lines))
    )
    return Configuration(files=(ConfigFile(path=file),), routes=tuple(routes), upstreams=tuple(upstreams), answers=answers)


def map_lookups(text: str, file: str) -> tuple[Lookup, ...]:
    """Return the `use_backend` lines whose backend name comes from a map."""
    return tuple(
        each
        for section in sections(text, file)
        for each in lookups(section.name, ((line.words, line.at) for line in section.lines))
    )


def names(text: str) -> frozenset[str]:
    """Return the backend names a `use_backend` may refer to."""
    return frozenset(section.name for section in sections(text, "") if section.kind in ("backend", "listen"))


def sections(text: str, file: str) -> list[Section]:
    """Return the sections; lines before the first one become a section without kind, as in a fragment."""
    found = [Section("", "", [])]
    for number, raw in enumerate(text.splitlines()[:_MOST_LINES], 1):
        words = _words(raw)
        if not words:
            continue
        line = Line(words, Position(file=file, line=number))
        if words[0] in _SECTIONS:
            found.append(Section(words[0], words[1] if len(words) > 1 else "", []))
        else:
            found[-1].lines.append(line)
    return found


def _words(raw: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(raw[:4096], comments=True))
    except ValueError:
        return tuple(raw[:4096].partition("#")[0].split())


def _settings(section: Section) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in section.lines:
        name, rest = line.words[0], line.words[1:]
        if name in ("timeout", "option", "no") and rest:
            name, rest = f"{name} {rest[0]}", rest[1:]
        found[name] = rest
    return found


def _peer(line: Line) -> Peer | None:
    """Return the member on a `server` line: `server NAME ADDRESS[:PORT] [option…]`."""
    if line.words[0] not in ("server", "server-template") or len(line.words) < 3:
        return None
    name, address, options = line.words[1], line.words[2], line.words[3:]
    target = (
        Target(path=address.removeprefix("unix@"))
        if address.startswith(("/", "unix@"))
        else Target.parse(re.sub(r"^ipv[46]@", "", address))
    )
    return Peer(
        name=address,
        label=name,
        target=target if target and (target.port or target.path) else None,
        at=line.at,
        is_backup="backup" in options,
        is_down="disabled" in options,
        resolves="resolvers" in options,
    )


def _with_protocols(peers: tuple[Peer, ...], given: list[dict[str, str]]) -> tuple[Peer, ...]:
    """Return the peers, with a protocol of their own where they differ from the first, which is the route's."""
    protocols = ["https" if "ssl" in each else "http" for each in given]
    if len(set(protocols)) < 2:
        return peers
    return tuple(
        peer if protocol == protocols[0] else msgspec.structs.replace(peer, protocol=protocol)
        for peer, protocol in zip(peers, protocols, strict=True)
    )


def _fronts(found: list[Section]) -> dict[str, Front]:
    """Return the sections that lead to each backend, by the backend's name."""
    leading: dict[str, dict[int, Section]] = {}
    for number, section in enumerate(found):
        if section.kind == "listen":
            leading.setdefault(section.name, {})[number] = section
        for line in section.lines:
            if line.words[0] in ("default_backend", "use_backend"):
                for word in line.words:
                    leading.setdefault(word, {})[number] = section
    made: dict[tuple[int, ...], Front] = {}
    for numbers in leading.values():
        if tuple(numbers) not in made:
            made[tuple(numbers)] = _front(list(numbers.values()))
    return {name: made[tuple(numbers)] for name, numbers in leading.items()}


def _front(leading: list[Section]) -> Front:
    lines = [line for section in leading for line in section.lines]
    return Front(
        server=leading[0].name if leading else None,
        listens=tuple(" ".join(line.words[1:]) for line in lines if line.words[0] == "bind" and len(line.words) > 1),
        names=tuple(dict.fromkeys(_names(leading))),
        limits=_limits(lines),
    )


def _buffer_bytes(found: list[Section]) -> int:
    """Return the size of a buffer (tune.bufsize), which must hold a whole header."""
    lines = [line.words for section in found if section.kind == "global" for line in section.lines]
    written = next((words[1] for words in lines if words[0] == "tune.bufsize" and len(words) > 1), "")
    return whole_number(written, 9) or BUFFER_BYTES


def _route(
    section: Section,
    peers: tuple[Peer, ...],
    settings: dict[str, tuple[str, ...]],
    front: Front,
    buffer_bytes: int,
    given: list[dict[str, str]],
    base: Bases,
    limits: dict[str, tuple[Setting, ...]],
) -> Route:
    tls = server_tls(given, base, peers[0].at)
    is_tcp = settings.get("mode", ("tcp",)) == ("tcp",)
    own = tuple(name for name in dict.fromkeys(_names([section])) if name not in front.names)
    return Route(
        proxy="haproxy",
        server=section.name if front.server is None else front.server,
        listens=front.listens,
        at=peers[0].at,
        directive="server",
        passes=section.name,
        protocol="tcp" if is_tcp else "https" if tls.is_on else "http",
        upstream=section.name or None,
        peers=peers,
        server_names=front.names + own if own else front.names,
        host_header="$host",
        settings={**limits, **front.limits, **tls.settings, **_towards(settings, given, peers[0].at)},
        buffer_size_bytes=buffer_bytes,
        verifies_tls=tls.verifies,
        sends_sni=bool(tls.sni),
        sni_name=tls.sni,
        has_client_certificate="server_ssl_certificate" in tls.settings,
        connect_timeout_s=_time(settings.get("timeout connect", ()), 0.0),
        read_timeout_s=_time(settings.get("timeout server", ()), 0.0),
        send_timeout_s=_time(settings.get("timeout server", ()), 0.0),
    )


def _towards(
    settings: dict[str, tuple[str, ...]], given: list[dict[str, str]], at: Position | None
) -> dict[str, tuple[Setting, ...]]:
    """Return the local address of connections (`source`), and the protocol set for all servers (`proto`)."""
    sources = {each.get("source", settings.get("source", ("",))[0] if settings.get("source") else "") for each in given}
    protocols = {each.get("proto", "") for each in given}
    values = {SOURCE: sources, PROTOCOL: protocols}
    return {name: (Setting(args=(found.pop(),), at=at),) for name, found in values.items() if len(found) == 1 and found != {""}}


def _default_server(section: Section, inherited: dict[str, str]) -> dict[str, str]:
    """Return the options that servers inherit from `default-server` lines."""
    for line in section.lines:
        if line.words[0] == "default-server":
            inherited = options(line.words[1:], inherited)
    return inherited


def _given(section: Section, inherited: dict[str, str]) -> list[dict[str, str]]:
    """Return the options of each server of a section, in order: servers after a `default-server` line inherit from it."""
    found = []
    for line in section.lines:
        if line.words[0] == "default-server":
            inherited = options(line.words[1:], inherited)
        elif line.words[0] in ("server", "server-template") and len(line.words) >= 3:
            found.append(options(line.words[3 if line.words[0] == "server" else 4 :], inherited))
    return found


_NAME = lazy(r"([a-z0-9](?:[\w-]{0,62}\.){1,8}[a-z]{2,24})(?::\d{1,5})?", re.IGNORECASE)
_HOST_FIELD = lazy(r"host:[ \\]{0,4}", re.IGNORECASE)  # text before it on the line of `option httpchk` is not escaped any more


def _names(found: list[Section]) -> Iterator[str]:
    """Yield the host names in its rules and its health check: clients send one of these."""
    for section in found:
        for line in section.lines:
            words = [word.lower() for word in line.words]
            is_rule = words[0] in ("acl", "use_backend", "http-request") and any(
                re.match(r"(?:req\.)?hdr(?:_\w+)?\(host", x) for x in words
            )
            is_check = words[0] == "http-check" and "hdr" in words and "host" in words
            if is_rule or is_check or words[:2] == ["option", "httpchk"]:
                for word in line.words[1:]:
                    if match := _NAME.fullmatch(_HOST_FIELD.split(word)[-1].strip()):
                        yield match[1]


def _limits(lines: list[Line]) -> dict[str, tuple[Setting, ...]]:
    """Return the `maxconn` set in the sections that lead to a backend."""
    found = [line for line in lines if line.words[0] == "maxconn" and len(line.words) > 1]
    return {"maxconn": tuple(Setting(args=line.words[1:2], at=line.at) for line in found)} if found else {}


def _time(words: tuple[str, ...], default: float) -> float:
    match = _TIME.fullmatch(words[0]) if words else None
    return int(match[1]) * _UNITS_S[match[2] or ""] if match else default
