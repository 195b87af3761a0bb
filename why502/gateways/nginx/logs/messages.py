"""The meaning of each message of the nginx error log.

The table beside this file holds every text that nginx 1.0.15 to 1.31.5 can log, grouped by meaning. A text can have several
meanings; the context decides: errno, nginx's current action (`while …`), the level, the kind of address.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import msgspec

from why502.model.base import Value
from why502.model.logs import Phase, Symptom
from why502.model.patterns import lazy

ACTIONS: dict[str, Phase] = {  # possible actions after "while"; source: the assignments to log->action in nginx
    "connecting to upstream": Phase.CONNECT,
    "SSL handshaking to upstream": Phase.TLS,
    "sending request to upstream": Phase.SEND,
    "sending to upstream": Phase.SEND,
    "reading response header from upstream": Phase.READ_HEADER,
    "sending early hints to client": Phase.READ_HEADER,
    "reading upstream": Phase.READ_BODY,
    "proxying upgraded connection": Phase.UPGRADED,
    "sending to client": Phase.CLIENT,
    "sending response to client": Phase.CLIENT,
    "waiting for request": Phase.CLIENT,
    "SSL handshaking": Phase.CLIENT,
    "reading PROXY protocol": Phase.CLIENT,
    "reading client request line": Phase.CLIENT,
    "reading client pipelined request line": Phase.CLIENT,
    "reading client request headers": Phase.CLIENT,
    "reading client request": Phase.CLIENT,
    "processing HTTP/2 connection": Phase.CLIENT,
    "processing SPDY": Phase.CLIENT,
    "keepalive": Phase.CLIENT,
    "logging request": Phase.CLIENT,
    "closing request": Phase.CLIENT,
    "resolving": Phase.RESOLVE,
    "requesting certificate status": Phase.CLIENT,
    "logging to syslog": Phase.PROCESS,
    "proxying connection": Phase.READ_BODY,
    "proxying and reading from upstream": Phase.READ_BODY,
    "proxying and sending to upstream": Phase.SEND,
    "proxying and reading from client": Phase.CLIENT,
    "proxying and sending to client": Phase.CLIENT,
}
_SENDING = "sending to client"  # also in force while a response body is read, so it does not show whose connection failed
_LATER = {  # the symptom after the response header was passed on
    Symptom.CLOSED_BEFORE_HEADER: Symptom.CLOSED_IN_BODY,
    Symptom.RESET_BEFORE_HEADER: Symptom.RESET_IN_BODY,
    Symptom.HEADER_INVALID: Symptom.BODY_INVALID,
    Symptom.READ_TIMED_OUT: Symptom.BODY_TIMED_OUT,
}
_WIRE = frozenset(  # failures of a connection; on a client connection they are the client's
    {*_LATER, *_LATER.values(), Symptom.SEND_FAILED, Symptom.TLS_FAILED, Symptom.TLS_NOT_TLS, Symptom.CONNECTION_DIED}
)
_TLS = (Symptom.TLS_FAILED, Symptom.TLS_NOT_TLS)
_LATE = (Phase.READ_BODY, Phase.UPGRADED)
_STORING = frozenset({Symptom.TEMP_DENIED, Symptom.DISK_FULL, Symptom.IO_FAILED, Symptom.FILES_EXHAUSTED})
_GENERAL = {  # for a text in no table, by nginx's action, if the text reports that the action failed
    Phase.CONNECT: "connect() failed",
    Phase.TLS: "ssl_do_handshake() failed",
    Phase.SEND: "writev() failed",
    Phase.READ_HEADER: "recv() failed",
    Phase.READ_BODY: "readv() failed",
}
_DRY_RUN = ", dry run"
_NO_FILES = (23, 24)  # ENFILE, EMFILE
_HOLE = lazy("%[sd]")
_FILLED = lazy(
    r'(?<=")/[^"]{10,}(?=")|(?<= )/[^\s"]{8,}|\b\d+\.\d{3}\b|\b\d+(?:\.\d+){3}(?::\d+)?|(?<=unix:)\S+|\b\d{5,}\b'
)  # the parts that differ from line to line


class Meaning(Value, frozen=True, kw_only=True):
    """The meaning of a message. `status` is sent to the client if no other response is; `causes` are ids, best first."""

    symptom: Symptom | None = None
    phase: Phase | None = None
    status: int | None = None
    causes: tuple[str, ...] = ()
    is_gateway_failure: bool = False


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    t: str  # the text, with %s and %d
    errno: int | None = None
    action: str = ""
    kind: str = ""  # unix or ip
    reason: str = ""  # of a TLS error
    zone: str = ""  # the part of nginx that writes it; set if one text has several meanings, like levels and stream
    levels: tuple[str, ...] = ()
    stream: bool = False


class _Group(Meaning, frozen=True, kw_only=True):
    lines: tuple[str | _Line, ...]


class _Table(msgspec.Struct):
    source: str
    meanings: tuple[_Group, ...]


class _Row:
    """A row of the table, prepared for comparison: `parts` are the fixed pieces of its text in lower case."""

    __slots__ = ("fixed", "line", "meaning", "order", "parts")

    def __init__(self, line: _Line, meaning: Meaning) -> None:
        self.line = line
        self.meaning = meaning
        self.parts = _HOLE.split(line.t.lower())
        self.fixed = sum(map(len, self.parts))
        self.order = 0

    def fits(self, text: str) -> bool:
        """Return whether `text` is this text with its placeholders filled in. Linear: each piece is searched once."""
        first, *middle = self.parts
        if not middle:
            return text == first
        *middle, last = middle
        if not text.startswith(first) or not text.endswith(last):
            return False
        end = len(text) - len(last)
        return _run(middle, text, len(first), end)

    def is_in(self, text: str) -> bool:
        """Return whether `text` contains this text, or its beginning, cut in a placeholder or with a prefix."""
        if self.fixed < 12:
            return False
        if _run(self.parts, text, 0, len(text)):
            return True
        longest = max(self.parts, key=len)
        return len(longest) >= 16 and longest.strip(' (:"') in text

    def is_cut(self, text: str) -> bool:
        """Return whether `text` ends within the longest piece of this one, with at least _CUT letters of it."""
        longest = max(self.parts, key=len).lstrip(' (:"')
        at = text.rfind(longest[:_CUT]) if len(longest) >= _CUT else -1
        return at >= 0 and longest.startswith(text[at:])

    def score(self, seen: _Seen) -> float | None:
        """Return how well the context of the text matches; None if this meaning is impossible."""
        line, score = self.line, self.fixed / 4
        if line.zone == "resolver" and seen.action and "resolver" not in seen.zones:
            return None
        for wanted, found in ((line.errno, seen.errno), (line.reason, seen.reason), (line.kind, seen.kind)):
            if wanted:
                if found is None or (found and wanted != found and not (wanted is line.reason and wanted in str(found))):
                    return None
                if not found and wanted is not line.kind:
                    return None
                score += 40 if found else -4
        if line.action:
            if seen.action and line.action != seen.action:
                return None
            score += 40 if seen.action else -8
        if seen.level and line.levels and seen.level not in line.levels:
            score -= 60
        if line.zone:
            score -= 30 if seen.zones and line.zone not in seen.zones else 0
            score -= 12 if line.stream != seen.stream else 0
            score -= 10 if (seen.phase in _LATE) != (self.meaning.phase in _LATE) else 0
            score -= 1 if line.zone != "request" else 0
            score -= 1 if seen.level == "emerg" and not self.meaning.causes else 0
        return score


class _Seen(msgspec.Struct, frozen=True):
    errno: int | None
    action: str
    kind: str
    reason: str
    level: str
    zones: tuple[str, ...]
    stream: bool
    phase: Phase | None


def _run(parts: list[str], text: str, at: int, end: int) -> bool:
    for part in parts:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


_GRAM = 6
_CUT = 14


@lru_cache(1)
def _grams() -> dict[str, list[_Row]]:
    """Return the rows by six letters of their longest fixed piece, "" for a shorter one.

    Every text that contains the row contains these letters.
    """
    found: dict[str, list[_Row]] = {}
    for row in _index()[1]:
        longest = max(row.parts, key=len).strip(' (:"')
        found.setdefault(longest[:_GRAM] if len(longest) >= _GRAM else "", []).append(row)
    return found


def _near(text: str) -> list[_Row]:
    """Return the rows that the text may contain, longest first."""
    grams = _grams()
    near = {id(row): row for at in range(len(text) - _GRAM + 1) for row in grams.get(text[at : at + _GRAM], ())}
    near |= {id(row): row for row in grams.get("", ())}
    return sorted(near.values(), key=lambda row: (-row.fixed, row.order))


def _cut(text: str, near: list[_Row]) -> list[_Row]:
    """Return the rows in whose longest piece the text ends, if all of them mean the same."""
    found = [row for row in near if row.is_cut(text)]
    return found if len({row.meaning.symptom for row in found}) == 1 else []


@lru_cache(1)
def _index() -> tuple[dict[str, list[_Row]], list[_Row]]:
    """Return the rows by the first 18, 5 or 0 letters of their text, and all of them, longest first."""
    table = msgspec.json.decode(Path(__file__).with_name("messages.json").read_bytes(), type=_Table)
    rows = []
    for group in table.meanings:
        meaning = Meaning(
            symptom=group.symptom,
            phase=group.phase,
            status=group.status,
            causes=group.causes,
            is_gateway_failure=group.is_gateway_failure,
        )
        rows += [_Row(_Line(t=line) if isinstance(line, str) else line, meaning) for line in group.lines]
    rows.sort(key=lambda row: -row.fixed)
    for order, row in enumerate(rows):
        row.order = order
    index: dict[str, list[_Row]] = {}
    for row in rows:
        first = row.parts[0]
        index.setdefault(first[:18] if len(first) >= 18 else first[:5] if len(first) >= 5 else "", []).append(row)
    return index, rows


def look_up(
    message: str,
    errno: int | None = None,
    action: str = "",
    *,
    kind: str = "",
    reason: str = "",
    level: str = "",
    zones: tuple[str, ...] = (),
    stream: bool = False,
) -> Meaning | None:
    """Return the meaning of a message; None if nginx has no such message.

    `message` is the text alone, without errno, TLS error and action. `kind` is "unix" or "ip" (of the address), `reason` the TLS
    library's, `zones` the parts of nginx that can have written it ("config", "request"…; empty is unknown). Unknown values may be
    omitted: the general meaning of the text is returned then.
    """
    if _DRY_RUN in message:  # limit_req_dry_run, limit_conn_dry_run: only logged, the request continues
        return Meaning(phase=ACTIONS.get(action))
    key = _FILLED.sub("0.0", message[:512].lower())
    if _is_temporary(message):
        level = level or "crit"
    elif message.startswith("open()") and not level and not zones:
        level = "error"
    reason = reason.lower().replace("_", " ")
    return _look_up(key, _Seen(errno, action, kind, reason, level, zones, stream, ACTIONS.get(action)))


def _is_temporary(message: str) -> bool:
    """Return whether the message names one of nginx's own temporary files (ngx_create_hashed_filename: ten digits)."""
    return message.startswith("open()") and re.search(r'/\d{10}"', message) is not None


@lru_cache(4096)
def _look_up(text: str, seen: _Seen) -> Meaning | None:
    index, rows = _index()
    phase = seen.phase
    near = (*index.get(text[:18], ()), *index.get(text[:5], ()), *index.get("", ()))
    found = _best([row for row in near if row.fits(text)], seen)
    if found is None:
        held = _near(text)
        in_request = phase is not None and phase not in (Phase.CONFIG, Phase.STARTUP, Phase.PROCESS)
        held = [row for row in held if not (in_request and row.meaning.phase in (Phase.CONFIG, Phase.STARTUP))]
        found = _best([row for row in held if row.is_in(text)], seen)
        if found is None and seen.level and not seen.action:
            found = _best(_cut(text, held), seen)
    if found is None and phase in _GENERAL and ("failed" in text or "timed out" in text):
        text = "upstream timed out" if "timed out" in text else _GENERAL[phase]
        found = _best([row for row in rows if row.fits(text)], seen)
    if found is None and phase in (Phase.READ_HEADER, Phase.READ_BODY) and text.startswith("upstream sent"):
        found = Meaning(symptom=Symptom.HEADER_INVALID, status=502, causes=("invalid-response",), is_gateway_failure=True)
    if seen.action == "resolving" and (found is None or found.phase is not Phase.RESOLVE):
        return Meaning(symptom=Symptom.NAME_SERVER_FAILED, phase=Phase.RESOLVE, causes=("dns-resolver-failure",))
    return _placed(found, seen) if found else None


def _best(rows: list[_Row], seen: _Seen) -> Meaning | None:
    scored = [(score, row) for row in rows if (score := row.score(seen)) is not None]
    return max(scored, key=lambda pair: pair[0])[1].meaning if scored else None


def _placed(meaning: Meaning, seen: _Seen) -> Meaning:
    """Return the meaning of a general row at the phase of the line."""
    symptom, phase, status = meaning.symptom, seen.phase or meaning.phase, meaning.status
    # A general row, but the errno is a different one
    if symptom is Symptom.FILES_EXHAUSTED and seen.errno not in (None, *_NO_FILES):
        return Meaning(symptom=Symptom.PROXY_INTERNAL, phase=phase, status=status, is_gateway_failure=meaning.is_gateway_failure)
    on_client = seen.phase is Phase.CLIENT and seen.action != _SENDING
    if symptom in _WIRE and (on_client or (seen.level in ("info", "debug") and phase not in _LATE)):
        if symptom in _TLS:  # an outdated client or a scanner: no request was interrupted
            return Meaning(phase=Phase.CLIENT)
        return Meaning(symptom=Symptom.CLIENT_CLOSED, phase=Phase.CLIENT, causes=("client-closed-request",))
    if phase in _LATE or (seen.action == _SENDING and symptom in _WIRE | _STORING):
        status = None if meaning.is_gateway_failure else status  # the header was passed on, so the status cannot change any more
        symptom = _LATER.get(symptom, symptom) if symptom else None
    elif symptom in (Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_BEFORE_HEADER) and phase in (Phase.SEND, Phase.TLS):
        symptom = Symptom.SEND_FAILED if phase is Phase.SEND else Symptom.TLS_FAILED
    if seen.stream and status == 504:
        status = 502  # the stream module has no 504
    if meaning.phase is Phase.SELECT:  # nginx logs choosing a server as "connecting" too
        phase = Phase.SELECT
    return msgspec.structs.replace(meaning, symptom=symptom, phase=phase, status=status)
