"""Caddy's configuration: the routes, targets and logs in a Caddyfile or its JSON form.

Sources: caddyserver.com/docs/caddyfile/concepts, directives/reverse_proxy, directives/php_fastcgi, directives/log, and
caddyserver.com/docs/json. Its defaults: `dial_timeout` 3 s, no limit for the response header.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from why502.config.configuration import Configuration
from why502.gateways.caddy.config.match import finder
from why502.model.config import LogKind, LogTarget, Peer, Position, Route
from why502.model.patterns import lazy
from why502.model.snapshot import ConfigFile
from why502.model.target import Target

__all__ = ["Configuration", "finder", "load"]

_TOKEN = lazy(r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"|#[^\n]*|\n|[{}](?=\s|\Z)|[^\s\"`#]\S*|\S")
_MOST_TOKENS = 100_000
_DEEPEST = 32
_MOST_IMPORTS = 256
_DURATION = lazy(r"(\d{1,19}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PASSES = {"reverse_proxy": "http", "php_fastcgi": "fastcgi"}
_SCHEMES = {"http": "http", "https": "https", "h2c": "http", "unix": "http"}
_AROUND = ("handle", "handle_path", "route", "reverse_proxy", "php_fastcgi")
_DIRECTIVES = (
    *_AROUND,
    "log",
    "import",
    "encode",
    "file_server",
    "header",
    "respond",
    "redir",
    "rewrite",
    "root",
    "tls",
    "handle_errors",
)
_DIAL_S = 3.0


@dataclass(slots=True)
class Segment:
    """A line of a Caddyfile with the lines of its block. `has_block` is True even for an empty block."""

    words: tuple[str, ...]
    at: Position
    inner: list[Segment] = field(default_factory=list)
    has_block: bool = False

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""


class Snippets:
    """The snippets of a file by name. Each import uses up part of a budget: snippets may import each other endlessly."""

    def __init__(self, segments: list[Segment]) -> None:
        self._inner = {segment.name[1:-1]: segment.inner for segment in segments if segment.name.startswith("(")}
        self._left = _MOST_IMPORTS

    def of(self, segment: Segment) -> list[Segment]:
        """Return the lines imported by a line; none for any other line, or for a file."""
        if segment.name != "import" or len(segment.words) < 2 or segment.words[1] not in self._inner or self._left <= 0:
            return []
        self._left -= 1
        return self._inner[segment.words[1]]


def load(text: str, file: str) -> Configuration:
    """Return the configuration in either of its forms. Accepts any text."""
    files = (ConfigFile(path=file),)
    if text.lstrip().startswith("{"):
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError):
            tree = None
        if isinstance(tree, dict):
            return Configuration(files=files, routes=tuple(_of_json(tree, file)), logs=tuple(_logs_of_json(tree)))
    segments = parse(text, file)
    snippets = Snippets(segments)
    routes: list[Route] = []
    logs: list[LogTarget] = []
    for site, inner in _sites(segments):
        hosts = tuple(host for word in site for host in word.split(",") if host)
        routes += _routes(inner, hosts, "", snippets, 0)
        logs += _logs(inner, snippets, 0)
    logs += [log for segment in segments if not segment.words for log in _logs(segment.inner, snippets, 0)]
    return Configuration(files=files, routes=tuple(routes), logs=tuple(dict.fromkeys(logs)))


def parse(text: str, file: str) -> list[Segment]:
    """Return the lines of a Caddyfile as a tree."""
    top = Segment((), Position(file=file, line=1))
    stack, words, line = [top], list[str](), 1
    started, last = 1, None

    def end() -> Segment | None:
        if not words:
            return None
        segment = Segment(tuple(words), Position(file=file, line=started))
        stack[-1].inner.append(segment)
        words.clear()
        return segment

    for count, match in enumerate(_TOKEN.finditer(text)):
        if count > _MOST_TOKENS:
            break
        token = match[0]
        if token == "\n":
            last = end() or last
            line += 1
            continue
        if token.startswith("#"):
            continue
        if token == "{":
            opened = end()
            if opened is None:
                opened = Segment((), Position(file=file, line=line))
                stack[-1].inner.append(opened)
            opened.has_block = True
            if len(stack) < _DEEPEST:
                stack.append(opened)
            continue
        if token == "}":
            end()
            if len(stack) > 1:
                stack.pop()
            continue
        if not words:
            started = line
        words.append(token[1:-1] if token[0] in '`"' and len(token) > 1 else token)
        line += token.count("\n")
    end()
    return top.inner


def _sites(segments: list[Segment]) -> Iterator[tuple[tuple[str, ...], list[Segment]]]:
    """Yield each site's addresses and its lines: a single site may have no braces, and an imported file may hold lines of a
    site.
    """
    if any(segment.name in _DIRECTIVES for segment in segments):
        first = segments[0]
        alone = first.name not in _DIRECTIVES and not first.has_block
        yield (first.words if alone else ()), segments[1 if alone else 0 :]
        return
    for segment in segments:
        if segment.has_block and segment.words and not segment.name.startswith(("(", "&(")):
            yield segment.words, segment.inner


def _routes(inner: list[Segment], hosts: tuple[str, ...], location: str, snippets: Snippets, depth: int) -> Iterator[Route]:
    """Yield a route for each directive that proxies requests, with its path."""
    if depth > _DEEPEST:
        return
    for segment in inner:
        rest = segment.words[1:]
        yield from _routes(snippets.of(segment), hosts, location, snippets, depth + 1)
        if segment.name in _PASSES:
            yield _route(segment, hosts, location)
        elif segment.name in _AROUND:
            path = rest[0].removesuffix("*") if rest and rest[0].startswith("/") else location
            yield from _routes(segment.inner, hosts, path, snippets, depth + 1)


def _route(segment: Segment, hosts: tuple[str, ...], location: str) -> Route:
    rest = list(segment.words[1:])
    if rest and (rest[0].startswith(("/", "@")) or rest[0] == "*") and not rest[0].startswith("/run/"):
        matcher = rest.pop(0)
        location = matcher.removesuffix("*") if matcher.startswith("/") else location
    for line in segment.inner:
        if line.name == "to":
            rest += line.words[1:]
    transport = next((line for line in segment.inner if line.name == "transport"), None)
    lines = transport.inner if transport else []
    given = {line.name: line.words[1] for line in lines if len(line.words) > 1}
    kind = transport.words[1] if transport and len(transport.words) > 1 else ""
    default = "fastcgi" if kind == "fastcgi" else _PASSES[segment.name]
    has_tls = any(line.name.startswith("tls") for line in lines)
    return _made(rest, segment.at, hosts, location, "https" if has_tls else default, segment.name, given)


def _made(
    upstreams: list[str],
    at: Position,
    hosts: tuple[str, ...],
    location: str,
    protocol: str,
    directive: str,
    given: dict[str, str],
) -> Route:
    peers = tuple(Peer(name=word, target=_target(word), at=at) for word in upstreams)
    schemes = {_SCHEMES.get(word.partition("://")[0], protocol) for word in upstreams if "://" in word}
    return Route(
        proxy="caddy",
        server=hosts[0] if hosts else "",
        server_names=tuple(_name(host) for host in hosts),
        location=location,
        at=at,
        directive=directive,
        passes=" ".join(upstreams),
        protocol=schemes.pop() if len(schemes) == 1 and protocol == "http" else protocol,
        peers=peers,
        has_variables=any("{" in word for word in upstreams),
        connect_timeout_s=_seconds(given.get("dial_timeout", "")) or _DIAL_S,
        send_timeout_s=_seconds(given.get("write_timeout", "")),
        read_timeout_s=_seconds(given.get("response_header_timeout", given.get("read_timeout", ""))),
    )


def _name(host: str) -> str:
    """Return the host name in a site's address, without scheme, port and path; "" for an address without a host."""
    return host.rpartition("://")[2].partition("/")[0].partition(":")[0]


def _target(word: str) -> Target | None:
    """Return the address of an upstream; None for a placeholder, or a name without port."""
    if "{" in word:
        return None
    if word.startswith("unix/"):
        return Target.unix(word.removeprefix("unix/").partition("|")[0])
    scheme, found, rest = word.partition("://")
    address = (rest if found else word).removeprefix("tcp/").removeprefix("tcp4/").removeprefix("tcp6/")
    if address.startswith(":"):
        address = f"localhost{address}"
    target = Target.parse(address)
    if target is not None and not target.port and not target.path and found:
        return Target(host=target.host, port=443 if scheme == "https" else 80)
    return target if target is not None and (target.port or target.path) else None


def _seconds(text: str) -> float:
    """Return a duration in Go's notation, in seconds; 0.0 if there is none."""
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(text[:64]))


def _logs(inner: list[Segment], snippets: Snippets, depth: int) -> Iterator[LogTarget]:
    if depth > _DEEPEST:
        return
    for segment in inner:
        yield from _logs(snippets.of(segment), snippets, depth + 1)
        if segment.name != "log":
            continue
        for line in segment.inner:
            if line.name == "output" and len(line.words) > 2 and line.words[1] == "file" and line.words[2].startswith("/"):
                if "{" not in line.words[2]:
                    yield LogTarget(kind=LogKind.ACCESS, path=line.words[2], at=line.at)


def _of_json(tree: dict[str, Any], file: str) -> Iterator[Route]:
    """Yield a route for each handler `reverse_proxy`, anywhere in the tree."""
    at = Position(file=file, line=1)
    for handler in _handlers(tree, 0):
        found = [each.get("dial") for each in handler.get("upstreams") or () if isinstance(each, dict)]
        upstreams = [word for word in found if isinstance(word, str)]
        transport = handler.get("transport") if isinstance(handler.get("transport"), dict) else {}
        assert isinstance(transport, dict)
        given = {str(name): _duration(value) for name, value in transport.items() if isinstance(value, str | int | float)}
        protocol = "fastcgi" if transport.get("protocol") == "fastcgi" else "https" if "tls" in transport else "http"
        yield _made(upstreams, at, (), "", protocol, "reverse_proxy", given)


def _duration(value: str | float) -> str:
    """Return a duration of the JSON form as text: a number there is in nanoseconds."""
    return value if isinstance(value, str) else f"{int(value)}ns"


def _handlers(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > 3 * _DEEPEST:
        return
    if isinstance(value, dict):
        if value.get("handler") == "reverse_proxy":
            yield value
        for inner in value.values():
            yield from _handlers(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _handlers(inner, depth + 1)


def _logs_of_json(tree: dict[str, Any]) -> Iterator[LogTarget]:
    logging = tree.get("logging")
    logs = logging.get("logs") if isinstance(logging, dict) else None
    for log in logs.values() if isinstance(logs, dict) else ():
        writer = log.get("writer") if isinstance(log, dict) else None
        path = writer.get("filename") if isinstance(writer, dict) and writer.get("output") == "file" else None
        if isinstance(path, str) and path.startswith("/"):
            yield LogTarget(kind=LogKind.ACCESS, path=path)
