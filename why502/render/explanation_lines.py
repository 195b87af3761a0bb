"""Explains many lines as jsonl, at about the speed of a regular expression: repeated messages are explained once.

Answers are cached under a key: the nginx line without time, client, server, request, host and the varying parts of the
message. The cached answer is the whole JSON object except those parts. This path takes only plain ASCII lines that JSON writes
unchanged (except for quotation marks); all other lines are explained individually.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from why502.explanation import explain, parse, product_of
from why502.explanation import line as of_record
from why502.model.explanation import Explanation, Kind
from why502.model.patterns import lazy
from why502.redaction import redact_lines
from why502.render.explanation import LONGEST, as_text, document, render_line

MOST_SHAPES = 4096
CHUNK_BYTES = 1 << 18
LONGEST_BYTES = 1 << 20  # maximum length of a line; the rest is skipped
_LINE = lazy(
    r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(\w++)\] \d++#\d++: (?:\*\d++ )?([^,]*+(?:,(?! client: )[^,]*+)*+)"
    r"(?:, client: ([^\s,\"]*+), server: ([^\s,\"]*+)(?:, request: \"(([A-Z]++) [^\"]*+)\")?+"
    r"(?:, upstream: \"(\w++://(?:unix:[^:\"]*+|[^/\"]*+))[^\"]*+\")?+(?:, host: \"([^\"]*+)\")?+(?:, referrer: \"[^\"]*+\")?+)?+"
)
_PATH = lazy(r'"(/[^"]+)"')
_VARIES = lazy(r'"/[^"]+"|\d+(?![\d:])')  # a path or a number, but not an errno, which is followed by a colon and its text
_VARYING = ("at", "client", "server", "request")
_SELDOM = ("host", "duration_s", "process_pid")  # fields included if known
_ALIKE = attrgetter(  # the values that determine an answer, except for the varying fields
    *"format proxy program is_gateway_failure level errno phase symptom causes code detail target group protocol".split(),
    *"status upstream_status process unit file line".split(),
)
# The cache key of an answer: level, message, address of the backend, whether a client is named, method, whether a host is
# named.
_Key = tuple[str, str, str | None, bool, str | None, bool]


@dataclass(frozen=True, slots=True)
class _Shape:
    """An answer without its input and varying fields: `begin` ends within the fields.

    `has_file`: the message's path varies as well.
    """

    begin: str
    has_file: bool = False


class Explainer:
    """Explains line after line. `proxy` as in `explain`; `unrecognised` counts the lines that no format fits."""

    def __init__(self, proxy: str | None = None) -> None:
        self.proxy = product_of(proxy)
        self.unrecognised = 0
        self._exact: dict[_Key, str] = {}
        self._loose: dict[_Key, _Shape] = {}
        self._records: dict[Hashable, str] = {}

    def explain(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield for each chunk of whole lines the JSON objects, one per line."""
        for chunk in chunks:
            text = redact_lines(chunk.decode("utf-8", "surrogateescape").removesuffix("\n").replace("\r\n", "\n"))
            yield self._answers(text.split("\n"), is_plain=_is_plain(text))

    def _answers(self, lines: Sequence[str], *, is_plain: bool) -> bytes:
        """Return the objects for lines. `is_plain`: all lines are plain; else each line is checked."""
        pieces: list[str] = []
        add, known, fits = pieces.append, self._exact.get, _LINE.fullmatch
        second = moment = ""
        for line in lines:
            match = fits(line) if is_plain or _is_plain(line) else None
            if match is None:
                add(self._uncached(line))
                continue
            at, level, message, client, server, request, method, upstream, host = match.groups()
            key = (level, message, upstream, client is None, method, host is None)
            begin, file = known(key), ""
            if begin is None:
                shape = self._shape(line, key, match)
                if shape is None:
                    add(self._uncached(line))
                    continue
                begin, file = shape.begin, _PATH.findall(message)[0] if shape.has_file else ""
            if at != second:
                second, moment = at, f"{at[:4]}-{at[5:7]}-{at[8:10]}T{at[11:]}"
            quoted = line.replace('"', '\\"')
            if server and request and host and client and not file:
                add(
                    f'{begin}"at":"{moment}","client":"{client}","server":"{server}","request":"{request}","host":"{host}"}},'
                    f'"input":"{quoted}"}}\n'
                )
            else:
                add(
                    f'{begin}"at":"{moment}","client":{_null(client)},"server":{_null(server)},"request":{_null(request)}'
                    f'{_more("host", host)}{_more("file", file)}}},"input":"{quoted}"}}\n'
                )
        return "".join(pieces).encode()

    def _shape(self, line: str, key: _Key, match: re.Match[str]) -> _Shape | None:
        """Return the answer to lines of this kind, computed or cached; None if a line must be explained on its own."""
        message = key[1]
        loose = (key[0], _VARIES.sub("0", message), *key[2:])
        if shape := self._loose.get(loose):
            return shape
        explanation = explain(line, self.proxy)
        expected = dict(zip(("client", "server", "request", "host"), match.group(4, 5, 6, 9), strict=True))
        if explanation.kind is not Kind.LOG_LINE or any(
            (explanation.fields.get(name) or None) != (part or None) for name, part in expected.items()
        ):
            return None
        if len(self._exact) + len(self._loose) > MOST_SHAPES:
            self._exact.clear()
            self._loose.clear()
        fixed = {name: value for name, value in explanation.fields.items() if name not in (*_VARYING, "host")}
        path = _PATH.search(message)
        has_file = path is not None and fixed.get("file") == path[1]
        rest = {name: value for name, value in fixed.items() if name != "file"} if has_file else fixed
        values = " ".join(str(value) for value in rest.values())
        varying = [part.strip('"') for part in _VARIES.findall(message)]
        if varying and not any(part in values for part in varying) and (path is None or message.find('"') == path.start()):
            self._loose[loose] = _Shape(_begin(explanation, rest), has_file)
            return self._loose[loose]
        self._exact[key] = _begin(explanation, fixed)
        return _Shape(self._exact[key])

    def _uncached(self, line: str) -> str:
        """Return the object for a line of any format: parsed individually, with a cached answer if an earlier line parsed the
        same.
        """
        record = parse(line, self.proxy)
        if record is None or record.at is None:
            return self._unlike(line)
        alike = _ALIKE(record)
        begin = self._records.get(alike)
        if begin is None:
            if len(self._records) > MOST_SHAPES:
                self._records.clear()
            explanation = of_record("", record)
            fixed = {name: value for name, value in document(explanation).fields.items() if name not in (*_VARYING, *_SELDOM)}
            begin = self._records[alike] = _begin(explanation, fixed)
        varying = {
            "at": record.at.isoformat(),
            "client": as_text(record.client) or None,
            "server": as_text(record.server) or None,
            "request": as_text(record.request) or None,
        }
        varying |= {
            name: as_text(value) if isinstance(value, str) else value
            for name in _SELDOM
            if (value := getattr(record, name)) not in (None, "")
        }
        rest = msgspec.json.encode({"fields": varying, "input": as_text(line[:LONGEST])})
        return begin + rest[len(b'{"fields":{') :].decode() + "\n"

    def _unlike(self, line: str) -> str:
        explanation = explain(line, self.proxy)
        if explanation.kind is Kind.UNRECOGNISED and line.strip():
            self.unrecognised += 1
        return render_line(explanation).decode()


def _is_plain(text: str) -> bool:
    """Return whether JSON writes a text unchanged, except for quotation marks (and line feeds)."""
    if not text.isascii() or len(text) > 4 * CHUNK_BYTES:
        return False
    return len(msgspec.json.encode(text)) == len(text) + 2 + text.count('"') + text.count("\n")


def _begin(explanation: Explanation, fields: dict[str, Any]) -> str:
    """Return the part of an explanation's object that all similar lines share: `{… "fields":{…,`."""
    found = msgspec.to_builtins(document(explanation))
    del found["input"], found["fields"]
    return msgspec.json.encode({**found, "fields": fields}).decode()[:-2] + ","


def _null(text: str | None) -> str:
    return f'"{text}"' if text else "null"


def _more(name: str, text: str | None) -> str:
    return f',"{name}":"{text}"' if text else ""


def chunks(read: Any) -> Iterator[bytes]:
    """Yield whole lines as they come from `read` (takes a maximum number of bytes, returns b"" at the end)."""
    held = b""
    skips = False
    while data := read(CHUNK_BYTES):
        if skips:  # the rest of a line that was too long
            _, found, data = data.partition(b"\n")
            skips = not found
        head, found, tail = data.rpartition(b"\n")
        if not found:
            held += data
            if len(held) > LONGEST_BYTES:
                yield held[:LONGEST_BYTES] + b"\n"
                held, skips = b"", True
            continue
        yield held + head + b"\n"
        held = tail
    if held:
        yield held + b"\n"
