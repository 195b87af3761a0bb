"""Caddy's configuration: the routes, targets and logs in a Caddyfile or its JSON form.

Sources: caddyserver.com/docs/caddyfile/concepts, directives/import, directives/reverse_proxy, directives/php_fastcgi,
directives/log, and caddyserver.com/docs/json.
"""

from __future__ import annotations

import fnmatch
import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from why502.config.configuration import Configuration
from why502.gateways.caddy.config.json_form import admin_in, host_header, logs_in, routes_in
from why502.gateways.caddy.config.match import finder
from why502.gateways.caddy.config.routes import ASKED, Handling, groups_of, route_of
from why502.gateways.go_programs import seconds_of
from why502.gateways.running import Texts
from why502.model.config import LogKind, LogTarget, Position, Route, Setting
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile

__all__ = ["INTERFACE", "Configuration", "admin_of", "finder", "json_tree", "load", "together"]

_TOKEN = lazy(r"`[^`]*`|\"(?:[^\"\\]|\\.)*\"|#[^\n]*|\n|[{}](?=\s|\Z)|[^\s\"`#]\S*|\S")
_MOST_TOKENS = 100_000
_DEEPEST = 32
_MOST_IMPORTS = 256
_PASSES = {"reverse_proxy": "http", "php_fastcgi": "fastcgi"}
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
_VARIABLE = lazy(r"\{\$(\w{1,128})(?::([^}\n]{0,500}))?\}")
_TLS_FILES = {"tls_trust_pool": "trusted_certificate", "tls_trusted_ca_certs": "trusted_certificate"}
INTERFACE = "its admin interface"  # in the place of a file's path


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


class Imports:
    """The imports of a configuration by name, and its files. Each import uses up part of a budget: they may import each other
    endlessly.
    """

    def __init__(self, segments: list[Segment], files: Mapping[str, list[Segment]]) -> None:
        every = [segment for inner in (segments, *files.values()) for segment in inner]
        self._inner = {segment.name[1:-1]: segment.inner for segment in every if segment.name.startswith("(")}
        self._files = files
        self._left = _MOST_IMPORTS

    def of(self, segment: Segment) -> list[Segment]:
        """Return the lines imported by a line: those of a snippet, or of files; none for any other line."""
        if segment.name != "import" or len(segment.words) < 2 or self._left <= 0:
            return []
        self._left -= 1
        name = segment.words[1]
        if name in self._inner:
            return self._inner[name]
        pattern = posixpath.normpath(posixpath.join(posixpath.dirname(segment.at.file), name))
        return [
            inner
            for path, found in self._files.items()
            if fnmatch.fnmatchcase(path, pattern) and path != segment.at.file
            for inner in found
        ]

    def resolved(self, segments: list[Segment], depth: int = 0) -> list[Segment]:
        """Return lines with those that they import: sites may stand in files of their own, options in snippets."""
        if depth > _DEEPEST:
            return []
        return [
            inner
            for segment in segments
            for inner in (self.resolved(self.of(segment), depth + 1) if segment.name == "import" else [segment])
        ]


def load(text: str, file: str) -> Configuration:
    """Return the configuration in one text, in either of its forms. Accepts any text."""
    return together([(file, text)], None)


def together(texts: Texts, environment: Mapping[str, str] | None) -> Configuration:
    """Return the configuration in all its texts: the first one, and those that it imports.

    environment: the variables of the running process; None if they are unknown. Without any text it is configured over its
    admin interface.
    """
    if not texts:
        return Configuration(routes_elsewhere=True)
    files = tuple(ConfigFile(path=file) for file, _ in texts if file.startswith("/") or len(texts) == 1)
    file, text = texts[0]
    if (tree := json_tree(text)) is not None:
        routes = tuple(routes_in(tree, file))
        return Configuration(files=files, routes=routes, upstreams=groups_of(routes), logs=tuple(logs_in(tree)))
    trees = {path: parse(_filled(content, environment), path) for path, content in texts}
    imports = Imports(trees[file], {path: tree for path, tree in trees.items() if path != file})
    segments = imports.resolved(trees[file])
    found: list[Route] = []
    logs: list[LogTarget] = []
    for site, inner in _sites(segments):
        hosts = tuple(host for word in site for host in word.split(",") if host)
        found += _routes(inner, Site(hosts, _paths(inner)), "", imports, 0)
        logs += _logs(inner, imports, 0)
    logs += [log for segment in segments if not segment.words for log in _logs(segment.inner, imports, 0)]
    routes = tuple(found)
    return Configuration(files=files, routes=routes, upstreams=groups_of(routes), logs=tuple(dict.fromkeys(logs)))


def json_tree(text: str) -> dict[str, Any] | None:
    """Return the JSON form in a text; None if it is not in that form."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def admin_of(text: str, file: str) -> tuple[str, Position | None]:
    """Return the address of the admin interface as written, and where: "off" if it is disabled, "" for the default."""
    if (tree := json_tree(text)) is not None:
        return admin_in(tree), Position(file=file, line=1)
    options = next((segment for segment in parse(text, file) if not segment.words and segment.has_block), None)
    line = next((each for each in options.inner if each.name == "admin"), None) if options else None
    return (line.words[1] if line and len(line.words) > 1 else "", line.at if line else None)


def _filled(text: str, environment: Mapping[str, str] | None) -> str:
    """Return a Caddyfile with the values of its variables `{$NAME}` and `{$NAME:default}`; without an environment as it is."""
    if environment is None:
        return text
    return _VARIABLE.sub(lambda match: environment.get(match[1]) or match[2] or "", text)


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


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses of a site, and the paths of its named matchers."""

    hosts: tuple[str, ...]
    paths: Mapping[str, str] = field(default_factory=dict)
    asked: tuple[Setting, ...] = ()  # before a request is passed on: see `ASKED`

    @property
    def listens(self) -> tuple[str, ...]:
        """The ports that it listens on. A name without a scheme means HTTPS."""
        found = (host.rpartition("://")[2].partition("/")[0].rpartition(":") for host in self.hosts)
        ports = [port if colon and port.isdecimal() else "" for _, colon, port in found]
        given = zip(self.hosts, ports, strict=True)
        return tuple(dict.fromkeys(f":{port or ('80' if host.startswith('http://') else '443')}" for host, port in given))

    @property
    def is_tls(self) -> bool:
        """Whether its first address is one of HTTPS: no scheme, a name, and not the port of HTTP."""
        first = self.hosts[0] if self.hosts else ""
        is_plain = first.startswith(("http://", ":")) or first.endswith(":80")
        return bool(first) and not is_plain


def _paths(inner: list[Segment]) -> dict[str, str]:
    """Return the path of each named matcher that has one: `@api path /api/*`."""
    found: dict[str, str] = {}
    for segment in inner:
        if not segment.name.startswith("@"):
            continue
        lines = [segment.words[1:], *(line.words for line in segment.inner)]
        path = next((words[1] for words in lines if len(words) > 1 and words[0] == "path"), "")
        if path.startswith("/"):
            found[segment.name] = path
    return found


def _routes(inner: list[Segment], site: Site, location: str, imports: Imports, depth: int) -> Iterator[Route]:
    """Yield a route for each directive that proxies requests, with its path."""
    if depth > _DEEPEST:
        return
    inner = imports.resolved(inner)
    site = replace(site, asked=(*site.asked, *(_asked(each, imports) for each in inner if each.name == ASKED)))
    for segment in inner:
        rest = segment.words[1:]
        if segment.name in _PASSES:
            yield _route(segment, imports.resolved(segment.inner), site, location)
        elif segment.name in _AROUND:
            path = _located(rest[0], site) if rest else ""
            yield from _routes(segment.inner, site, path or location, imports, depth + 1)


def _asked(segment: Segment, imports: Imports) -> Setting:
    """Return what a `forward_auth` asks: how many seconds it waits for the answer, 0 for no limit, and the addresses."""
    route = _route(Segment(("reverse_proxy", *segment.words[1:]), segment.at), imports.resolved(segment.inner), Site(()), "")
    targets = (str(peer.target) for peer in route.peers if peer.target is not None)
    return Setting(args=(f"{route.read_timeout_s:g}", *targets), at=segment.at)


_WAITS = ("response_header_timeout", "read_timeout")


def _located(matcher: str, site: Site) -> str:
    """Return the path that a matcher stands for; "" if it is none."""
    return site.paths.get(matcher, matcher if matcher.startswith("/") else "").removesuffix("*")


def _route(segment: Segment, inner: list[Segment], site: Site, location: str) -> Route:
    """Return the route of a directive; `inner` are the lines of its block, with those that they import."""
    rest = list(segment.words[1:])
    if rest and (rest[0].startswith(("/", "@")) or rest[0] == "*") and not rest[0].startswith("/run/"):
        location = _located(rest.pop(0), site) or location
    options: dict[str, tuple[str, ...]] = {}
    for line in inner:
        if line.name == "to":
            rest += line.words[1:]
        elif not (line.name == "header_up" and line.words[1:2] != ("Host",)):
            options[line.name] = line.words[1:]
    transport = next((line for line in inner if line.name == "transport"), None)
    lines = {line.name: line for line in (transport.inner if transport else ())}  # a snippet holds whole transports
    kind = transport.words[1] if transport and len(transport.words) > 1 else ""
    default = "fastcgi" if kind == "fastcgi" else _PASSES[segment.name]

    def written(*names: str) -> Setting | None:
        found = next((lines[name] for name in names if name in lines and len(lines[name].words) > 1), None)
        return Setting(args=(found.words[1],), at=found.at) if found else None

    def duration(*names: str) -> float:
        setting = written(*names)
        return seconds_of(setting.args[0]) if setting else 0.0

    max_fails = next(iter(options.get("max_fails", ())), "1")
    return route_of(
        Handling(
            upstreams=rest,
            at=segment.at,
            hosts=site.hosts,
            listens=site.listens,
            listens_tls=site.is_tls,
            location=location,
            protocol="https" if any(name.startswith("tls") for name in lines) else default,
            directive=segment.name,
            host_header=host_header(options["header_up"][1] if len(options.get("header_up", ())) > 1 else ""),
            dial_s=duration("dial_timeout"),
            write_s=duration("write_timeout"),
            answer_s=duration(*_WAITS),
            wait=written(*_WAITS),
            fail_s=seconds_of(next(iter(options.get("fail_duration", ())), "")),
            max_fails=int(max_fails) if max_fails.isdecimal() and len(max_fails) < 6 else 1,
            verifies="tls_insecure_skip_verify" not in lines,
            server_name=next(iter(lines["tls_server_name"].words[1:]), "") if "tls_server_name" in lines else "",
            tls=_tls_files(lines),
            asked=site.asked,
        )
    )


def _tls_files(lines: Mapping[str, Segment]) -> dict[str, str]:
    """Return the files that a transport's TLS uses: the issuers that it trusts, its own certificate and key."""
    found: dict[str, str] = {}
    for name, meaning in _TLS_FILES.items():
        if name in lines:
            words = [*lines[name].words[1:], *(word for line in lines[name].inner for word in line.words[1:])]
            found[meaning] = next((word for word in words if "/" in word), "")
    own = lines["tls_client_auth"].words[1:] if "tls_client_auth" in lines else ()
    if len(own) == 2:
        found |= {"certificate": own[0], "certificate_key": own[1]}
    return found


def _logs(inner: list[Segment], imports: Imports, depth: int) -> Iterator[LogTarget]:
    if depth > _DEEPEST:
        return
    for segment in inner:
        yield from _logs(imports.of(segment), imports, depth + 1)
        if segment.name != "log":
            continue
        for line in segment.inner:
            if line.name == "output" and len(line.words) > 2 and line.words[1] == "file" and line.words[2].startswith("/"):
                if "{" not in line.words[2]:
                    yield LogTarget(kind=LogKind.ACCESS, path=line.words[2], at=line.at)
