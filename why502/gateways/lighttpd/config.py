"""The parts of lighttpd's configuration that a diagnosis needs: its backends (`proxy.server` and the like), addresses and logs.

Source: doc/config; src/configfile.c; the wiki's pages Docs_Configuration, Mod_proxy and Mod_fastcgi. Read-only; what a shell
command would add (`include_shell`) is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from why502.config.configuration import Configuration, RouteFinder
from why502.model.config import LogKind, LogPlace, LogTarget, Peer, Position, Route, Upstream
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile, Proxy
from why502.model.target import Target
from why502.model.times import whole_number

_LIMIT = 4 << 20
_DEEPEST = 20
_FORMAT = '%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'  # unless accesslog.format is set (src/mod_accesslog.c)
_FLUSH_S = 4.0  # how long lines of the access log wait (src/mod_accesslog.c, log_access_periodic_flush)
_TOKEN = lazy(
    r'(?P<space>[\s;]++|\#[^\n]*+)|(?P<string>"(?:[^"\\]++|\\.)*+")|(?P<condition>\$[A-Z]{1,20}\["[^"\n]{0,100}"\])'
    r"|(?P<sign>=>|\+=|:=|==|!=|=~|!~|=\^|=\$|[=(){},+])|(?P<word>[^\s\"(){},=+\#;]++)|(?P<stray>.)",
    re.DOTALL,
)
_SERVERS = {
    "proxy.server": "http",
    "fastcgi.server": "fastcgi",
    "scgi.server": "scgi",
    "ajp13.server": "ajp",
    "wstunnel.server": "http",
}
_OPERATORS = frozenset({"==", "!=", "=~", "!~", "=^", "=$"})
_PORTS = {"http": 80, "fastcgi": 0, "scgi": 0, "ajp": 8009}
_PORT = lazy(r":\d{1,5}$")
Value = str | list[tuple[str, "Value"]]  # a text, or a list with keys ("" for none)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class _Around:
    """The conditions around a line: what each is about, its operator and its value."""

    conditions: tuple[tuple[str, str, str], ...] = ()

    def value(self, subject: str) -> tuple[str, str]:
        """Return operator and value of the innermost condition about something; "" for none."""
        return next(((operator, value) for name, operator, value in reversed(self.conditions) if name == subject), ("", ""))


@dataclass(slots=True)
class _Meaning:
    file: str = ""
    settings: dict[str, Value] = field(default_factory=dict)  # outside of all conditions
    listens: list[str] = field(default_factory=list)
    passes: list[tuple[str, Value, Position, _Around]] = field(default_factory=list)
    logs: list[tuple[LogTarget, _Around]] = field(default_factory=list)
    formats: dict[_Around, str] = field(default_factory=dict)  # of the access logs in these conditions

    def log_targets(self) -> Iterator[LogTarget]:
        """Yield the logs, those of requests with the format that holds where they are named."""
        usual = self.formats.get(_Around(), _FORMAT)
        for log, around in self.logs:
            yield replace(log, format=self.formats.get(around, usual)) if log.kind is LogKind.ACCESS else log


def load(text: str, file: str) -> Configuration:
    """Return the configuration in one file."""
    return together([(file, text)], None)


def together(texts: list[tuple[str, str]], environment: Mapping[str, str] | None) -> Configuration:  # noqa: ARG001
    """Return the configuration that all files make, in their order; what an included file sets in a condition is taken alone."""
    meaning = _Meaning()
    for file, text in texts:
        meaning.file = file
        _body(_Reader(_tokens(text[:_LIMIT])), _Around(), meaning, 0)
    port = meaning.settings.get("server.port", "80")
    bind = meaning.settings.get("server.bind", "")
    listens = (f"{bind if isinstance(bind, str) and ':' not in bind else ''}:{port}".removeprefix(":"), *meaning.listens)
    routes = [route for each in meaning.passes for route in _routes(each, listens)]
    return Configuration(
        files=tuple(ConfigFile(path=file) for file, _ in texts),
        routes=tuple(routes),
        upstreams=tuple(Upstream(name=route.upstream, peers=route.peers, at=route.at) for route in routes if route.upstream),
        logs=tuple(meaning.log_targets()),
    )


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "stray"
        if kind != "space":
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")


class _Reader:
    """Tokens with one of them looked at in advance."""

    def __init__(self, tokens: Iterator[_Token]) -> None:
        self._tokens = tokens
        self.next = next(tokens, None)

    def take(self) -> _Token | None:
        """Return the next token, and step behind it."""
        found, self.next = self.next, next(self._tokens, None)
        return found

    def sees(self, *signs: str) -> bool:
        """Return whether the next token is one of these."""
        return self.next is not None and self.next.text in signs


def _body(reader: _Reader, around: _Around, meaning: _Meaning, depth: int) -> None:
    """Read lines and conditional blocks until a brace closes the block."""
    while (token := reader.take()) is not None:
        if token.text == "}":
            return
        if token.text == "{":
            if depth < _DEEPEST:
                _body(reader, around, meaning, depth + 1)
        elif token.kind == "condition" and reader.sees(*_OPERATORS):
            operator, value = reader.take(), reader.take()
            if reader.sees("{") and operator and value and depth < _DEEPEST:
                reader.take()
                subject = token.text.lower().replace('["', ".").removesuffix('"]').removeprefix("$")
                condition = (subject, operator.text, _text(value))
                _socket(condition, meaning)
                _body(reader, _Around((*around.conditions, condition)), meaning, depth + 1)
        elif token.kind == "word" and reader.sees("=", "+=", ":="):
            reader.take()
            _set(token, _value(reader, meaning, depth), around, meaning)


def _socket(condition: tuple[str, str, str], meaning: _Meaning) -> None:
    subject, operator, value = condition
    if (subject, operator) == ("server.socket", "=="):
        meaning.listens.append(value)


def _value(reader: _Reader, meaning: _Meaning, depth: int) -> Value:
    """Return a value: a text, or a list; `+` joins texts and lists."""
    found = _one(reader, meaning, depth)
    while reader.sees("+"):
        reader.take()
        other = _one(reader, meaning, depth)
        if isinstance(found, str) and isinstance(other, str):
            found = (found + other)[:_LIMIT]
        elif isinstance(found, list) and isinstance(other, list):
            found = found + other
    return found


def _one(reader: _Reader, meaning: _Meaning, depth: int) -> Value:
    token = reader.take()
    if token is None:
        return ""
    if token.text != "(":
        known = meaning.settings.get(token.text) if token.kind == "word" else None
        return known if known is not None else _text(token)
    items: list[tuple[str, Value]] = []
    while reader.next is not None and not reader.sees(")"):
        if reader.sees(",") or depth >= _DEEPEST:
            reader.take()
            continue
        item = _value(reader, meaning, depth + 1)
        if reader.sees("=>"):
            reader.take()
            items.append((item if isinstance(item, str) else "", _value(reader, meaning, depth + 1)))
        else:
            items.append(("", item))
    reader.take()
    return items


def _text(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "string" else token.text


def _set(token: _Token, value: Value, around: _Around, meaning: _Meaning) -> None:
    at = Position(file=meaning.file, line=token.line)
    if token.text in _SERVERS:
        meaning.passes.append((token.text, value, at, around))
    elif token.text in ("server.errorlog", "accesslog.filename") and isinstance(value, str):
        kind = LogKind.ERROR if token.text == "server.errorlog" else LogKind.ACCESS
        goes_to = LogPlace.STDERR if value in ("/dev/stderr", "/dev/stdout") else LogPlace.FILE
        if value.startswith("/"):
            path = value if goes_to is LogPlace.FILE else ""
            flush_s = _FLUSH_S if kind is LogKind.ACCESS else 0.0
            meaning.logs.append((LogTarget(kind=kind, path=path, goes_to=goes_to, flush_s=flush_s, at=at), around))
    elif token.text == "accesslog.format" and isinstance(value, str):
        meaning.formats[around] = value
    elif token.text == "server.errorlog-use-syslog" and value == "enable":
        meaning.logs.append((LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.SYSLOG, facility="daemon", at=at), around))
    elif not around.conditions:
        meaning.settings[token.text] = value


def _routes(given: tuple[str, Value, Position, _Around], listens: tuple[str, ...]) -> Iterator[Route]:
    """Yield a route for each path or extension of a `….server`."""
    name, value, at, around = given
    operator, host = around.value("http.host")
    shown, url = around.value("http.url")
    _, socket = around.value("server.socket")
    for key, servers in value if isinstance(value, list) else ():
        peers = tuple(_peers(servers, name, at))
        options = _options(servers)
        if not peers:
            continue
        limit = whole_number(options.get("read-timeout", ""), 8)
        yield Route(
            proxy="lighttpd",
            server=host if operator == "==" else "",
            server_names=(host,) if operator == "==" else (),
            listens=(socket,) if socket else listens,
            location=key or (url if shown in ("=^", "==") else ""),
            at=at,
            directive=name,
            passes=key or "(all)",
            protocol=_SERVERS[name],
            upstream=(key or name) if len(peers) > 1 else None,
            peers=peers,
            host_header="$host",
            connect_timeout_s=float(whole_number(options.get("connect-timeout", ""), 8) or 8),
            read_timeout_s=float(limit) if limit else 60.0,
            send_timeout_s=float(whole_number(options.get("write-timeout", ""), 8) or 60),
            if_conditions=tuple(
                f'$HTTP["{subject.partition(".")[2]}"] {sign} "{wanted}"'
                for subject, sign, wanted in around.conditions
                if subject != "server.socket" and (subject, sign) != ("http.host", "==")
            ),
        )


def _peers(servers: Value, name: str, at: Position) -> Iterator[Peer]:
    """Yield the servers of one path: each is a list of options, with a name in front of it or without."""
    for label, server in servers if isinstance(servers, list) else ():
        options = {key: value for key, value in server if isinstance(value, str)} if isinstance(server, list) else {}
        path = options.get("socket", "")
        host = options.get("host", "")
        port = whole_number(options.get("port", ""), 5) or _PORTS[_SERVERS[name]]
        if host.startswith("/"):
            path, host = host, ""
        if not path and not host and not options.get("port"):
            continue
        target = Target(path=path) if path else Target(host=host or "127.0.0.1", port=port)
        yield Peer(name=path or f"{host or '127.0.0.1'}:{port}", label=label, target=target, at=at)


def _options(servers: Value) -> dict[str, str]:
    """Return the options of the first server, whose limits hold for all in practice."""
    first = next((server for _, server in servers if isinstance(server, list)), []) if isinstance(servers, list) else []
    return {key: value for key, value in first if isinstance(value, str)}


def _takes(route: Route, path: str) -> bool:
    """Return whether a route takes a path: a key with a slash in front is the beginning of a path, any other its end."""
    if not route.location:
        return True
    return path.startswith(route.location) if route.location.startswith("/") else path.endswith(route.location)


def finder(proxy: Proxy) -> tuple[tuple[str, ...], RouteFinder]:
    """Return the names of a gateway's servers, and the function that finds the route of a path: the first that takes it."""

    def find(uri: str, server: str, _: bool) -> Route | None:
        path = uri.partition("?")[0]
        names = (server, _PORT.sub("", server))  # its log has the client's Host, and a condition without a port fits any
        of_host = [route for route in proxy.routes if not route.server or route.server in names]
        named = [route for route in of_host if route.server] or of_host
        found = [route for route in named if _takes(route, path) and not route.if_conditions]
        return found[0] if found else None

    return tuple(sorted({route.server for route in proxy.routes})), find
