"""The parts of a VCL file that a diagnosis needs: backends, their timeouts and limits, directors, and synthetic responses.

Source: vcl(7), vcl-backend(7), vmod_directors(3). Only read; what is not known is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass

from why502.config.configuration import Configuration
from why502.model.config import SENDS_PROXY, Answer, Peer, Position, Route, Setting, Upstream
from why502.model.patterns import lazy
from why502.model.proxy import ConfigFile
from why502.model.target import Target
from why502.model.times import whole_number

CONNECT_S, FIRST_BYTE_S = 3.5, 60.0  # varnishd(1): connect_timeout, first_byte_timeout
HEADER_BYTES = 32 << 10  # varnishd(1): http_resp_size
_MOST_TOKENS = 200_000
_SERVER_ERROR = 500
_CONDITION_TOKENS = 60
_TOKEN = lazy(
    r"(?P<skip>\s++|#[^\n]*+|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)"
    r"|(?P<long>\{\"(?:[^\"]|\"(?!\}))*+(?:\"\})?|\"\"\"(?:[^\"]|\"(?!\"\"))*+(?:\"\"\")?)"
    r"|\"(?P<short>[^\"\n]*+)\"?"
    r"|(?P<word>[\w.]++)|(?P<sign>[^\w\s])"
)
_TIME = lazy(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|w|y)?")
_UNITS_S = {"ms": 1e-3, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a sign, or (`is_text`) a string without its quotes, and its line."""

    text: str
    line: int
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as written: its settings by name, without those of its probe."""

    name: str
    line: int
    settings: dict[str, Token]


def load(text: str, file: str) -> Configuration:
    """Return the configuration in a VCL file. Accepts any text."""
    tokens = list(_tokens(text))
    found = [backend for at, token in enumerate(tokens) if token.text == "backend" and (backend := _backend(tokens, at))]
    peers = {backend.name: peer for backend in found if (peer := _peer(backend, file))}
    upstreams = [Upstream(name=name, peers=(peer,), at=peer.at) for name, peer in peers.items()]
    upstreams += _directors(tokens, peers, file)
    routes = tuple(_route(backend, peers[backend.name], file) for backend in found if backend.name in peers)
    return Configuration(
        files=(ConfigFile(path=file),), routes=routes, upstreams=tuple(upstreams), answers=tuple(_answers(tokens, file))
    )


def _tokens(text: str) -> list[Token]:
    found, line = list[Token](), 1
    for match in _TOKEN.finditer(text):
        if match["word"] or match["sign"]:
            found.append(Token(match[0], line))
        elif match["short"] is not None:
            found.append(Token(match["short"], line, is_text=True))
        elif match["long"]:
            found.append(Token(match["long"].strip('{"}'), line, is_text=True))
        line += match[0].count("\n")
        if len(found) >= _MOST_TOKENS:
            break
    return found


def _backend(tokens: list[Token], at: int) -> Backend | None:
    """Return the backend declared there: `backend NAME { .host = "…"; … }`; None if it is not a declaration."""
    if at + 2 >= len(tokens) or tokens[at].is_text or tokens[at + 2].text != "{" or tokens[at + 1].is_text:
        return None
    settings: dict[str, Token] = {}
    depth, place = 1, at + 3
    while place + 2 < len(tokens) and depth:
        token = tokens[place]
        if not token.is_text:
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth == 1 and token.text.startswith(".") and tokens[place + 1].text == "=":
                settings[token.text[1:]] = tokens[place + 2]
        place += 1
    return Backend(tokens[at + 1].text, tokens[at].line, settings)


def _peer(backend: Backend, file: str) -> Peer | None:
    """Return the address of a backend; None if it has none (`backend NAME none;`)."""
    at = Position(file=file, line=backend.line)
    most = backend.settings.get("max_connections")
    limit = (whole_number(most.text, 8) or 0) if most else 0
    if path := backend.settings.get("path"):
        return Peer(name=path.text, label=backend.name, target=Target(path=path.text), at=at, max_conns=limit)
    host = backend.settings.get("host")
    if host is None or not host.text:
        return None
    port = backend.settings.get("port")
    name = f"[{host.text}]" if ":" in host.text and not host.text.startswith("[") else host.text
    written = f"{name}:{port.text if port else 80}"
    target = Target.parse(written)
    return Peer(
        name=written,
        label=backend.name,
        target=target if target and target.port else None,
        at=Position(file=file, line=host.line),
        max_conns=limit,
    )


def _route(backend: Backend, peer: Peer, file: str) -> Route:
    settings: dict[str, tuple[Setting, ...]] = {
        name: (Setting(args=(token.text,), at=Position(file=file, line=token.line)),) for name, token in backend.settings.items()
    }
    if (sent := backend.settings.get("proxy_header")) and sent.text in ("1", "2"):
        settings[SENDS_PROXY] = (Setting(args=(f"v{sent.text}",), at=Position(file=file, line=sent.line)),)
    first_byte = _time(backend.settings.get("first_byte_timeout"), FIRST_BYTE_S)
    return Route(
        proxy="varnish",
        server=backend.name,
        at=peer.at,
        directive="backend",
        passes=backend.name,
        protocol="https" if (tls := backend.settings.get("ssl")) and tls.text == "1" else "http",
        upstream=backend.name,
        peers=(peer,),
        http_version="1.1",
        host_header="$host",
        connect_timeout_s=_time(backend.settings.get("connect_timeout"), CONNECT_S),
        read_timeout_s=first_byte,
        send_timeout_s=first_byte,
        settings=settings,
        buffer_size_bytes=HEADER_BYTES,
    )


def _directors(tokens: list[Token], peers: dict[str, Peer], file: str) -> list[Upstream]:
    """Return the directors: `new NAME = directors.round_robin();` with `NAME.add_backend(BACKEND);`."""
    members: dict[str, tuple[Token, list[Peer]]] = {}
    for at, token in enumerate(tokens[:-2]):
        if token.is_text:
            continue
        if token.text == "new" and tokens[at + 2].text == "=":
            members.setdefault(tokens[at + 1].text, (tokens[at + 1], []))
        name, _, method = token.text.partition(".")
        if method == "add_backend" and name in members and (peer := peers.get(tokens[at + 2].text)):
            members[name][1].append(peer)
    return [
        Upstream(name=name, peers=tuple(found), at=Position(file=file, line=token.line))
        for name, (token, found) in members.items()
        if found
    ]


def _answers(tokens: list[Token], file: str) -> list[Answer]:
    """Return the error responses of VCL itself: `return (synth(503, "…"))`."""
    found = []
    for at, token in enumerate(tokens[:-2]):
        if token.text == "synth" and not token.is_text and tokens[at + 1].text == "(":
            status = whole_number(tokens[at + 2].text, 3)
            if status is not None and status >= _SERVER_ERROR:
                is_limit = _is_throttled(tokens, at)
                found.append(Answer(status=status, at=Position(file=file, line=token.line), is_limit=is_limit))
    return found


def _is_throttled(tokens: list[Token], at: int) -> bool:
    """Return whether the innermost `if` around a response calls vmod_vsthrottle (is_denied)."""
    before = [token.text for token in tokens[max(0, at - _CONDITION_TOKENS) : at] if not token.is_text]
    opened = max((place for place, text in enumerate(before) if text == "if"), default=None)
    condition = before[opened:] if opened is not None else []
    return "}" not in condition and any(text.startswith("vsthrottle.") for text in condition)


def _time(token: Token | None, default: float) -> float:
    match = _TIME.fullmatch(token.text) if token else None
    return float(match[1]) * _UNITS_S[match[2]] if match else default
