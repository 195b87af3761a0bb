"""Many lines to jsonl, at about the speed of a regular expression: what an outage writes over and over is explained once.

What is left of a line of nginx when time, client, server, request, host, and what differs in the message are taken out is the key under
which its answer is kept: all of the JSON object but these. Only lines of plain ASCII that JSON writes as they are (but for quotation
marks) go that way; all else is explained anew.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from why502.explanation import explain, parse, product_of
from why502.explanation import line as of_record
from why502.logs.redact import redact_lines
from why502.model.explanation import LOG_LINE, UNRECOGNISED, Explanation
from why502.render.explanation import LONGEST, as_text, document, render_line

MOST_SHAPES = 4096
CHUNK_BYTES = 1 << 18
LONGEST_BYTES = 1 << 20  # of a line; what follows is passed over
_AT = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")
_LINE = re.compile(
    rf"({_AT.pattern}) \[(\w+)\] \d+#\d+: (?:\*\d+ )?([^,]*+(?:,(?! client: )[^,]*+)*+)"
    r"(?:, client: ([^\s,\"]*), server: ([^\s,\"]*)(?:, request: \"([A-Z]+)( [^\"]*)\")?(?:, upstream: \"(\w+://(?:unix:[^:\"]*|[^/\"]*))[^\"]*\")?"
    r"(?:, host: \"([^\"]*)\")?(?:, referrer: \"[^\"]*\")?)?"
)
_PATH = re.compile(r'"(/[^"]+)"')
_VARIES = re.compile(r'"/[^"]+"|\d+(?![\d:])')  # a path, a number; but not an errno, which a colon and its text follow
_QUOTE = '"'
_Key = tuple[
    str, str, str, str, bool
]  # what an answer is kept under: level, message, method, address, and whether a client is named
_VARYING = ("at", "client", "server", "request", "host")
_SELDOM = ("host", "duration_s", "process_pid")  # of these what is known
_ALIKE = attrgetter(  # what decides an answer, but for the varying fields
    *"format proxy program is_gateway_failure level errno phase symptom causes code detail target group protocol".split(),
    *"status upstream_status process unit file line".split(),
)


class _Shape(NamedTuple):
    """An answer but for its input and varying fields: `begin` ends within the fields. `has_file`: the message's path is one, too."""

    begin: str
    has_file: bool = False


class Explainer:
    """Explains line after line. `proxy` as in `explain`; `unrecognised` counts the lines that nobody could read."""

    def __init__(self, proxy: str | None = None) -> None:
        self.proxy = proxy
        self.unrecognised = 0
        self._whole: dict[tuple[str, str, str], bytes] = {}  # for the common line: by level, message and address
        self._exact: dict[_Key, str] = {}
        self._loose: dict[_Key, _Shape] = {}
        self._records: dict[Hashable, bytes] = {}

    def explain(self, chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
        """Yield for each chunk of whole lines the JSON objects, each on a line of its own, in pieces to be written one after the other."""
        for chunk in chunks:
            text = redact_lines(chunk.decode("utf-8", "surrogateescape").removesuffix("\n").replace("\r\n", "\n"))
            lines = text.split("\n")
            quoted = _quoted(text)
            inputs: list[str] | list[str | None] = (
                quoted.split("\\n") if quoted is not None else [_quoted(line) for line in lines]
            )
            yield self._answers(lines, inputs)

    def _answers(self, lines: Sequence[str], inputs: Sequence[str | None]) -> list[bytes]:
        """Return the objects for lines. An input is the line within quotation marks of JSON, None where more than these is written otherwise.

        The common line is cut up at its marks. That is right only where no quotation mark stands in a request: there are six of them,
        or eight with a referrer.
        """
        pieces: list[bytes] = []
        add, known = pieces.append, self._whole.get
        second = moment = ""
        for line, quoted in zip(lines, inputs, strict=True):
            head, _, tail = line.partition(", client: ")
            level, _, says = head[20:].partition(": ")
            if says[:1] == "*":
                says = says.partition(" ")[2]
            client, _, tail = tail.partition(", server: ")
            server, _, tail = tail.partition(', request: "')
            request, _, tail = tail.partition('", upstream: "')
            upstream, _, tail = tail.partition('", host: "')
            begin = known((level[:5], says, upstream[: upstream.find("/", 10)])) if tail else None
            if begin is None or quoted is None or not server or line.count('"') not in (6, 8):
                plain = self._plain(line, quoted, level[:5], says, client, server, request) if quoted and not upstream else None
                add(plain or self._answer(line, quoted))
                continue
            if line[:19] != second:
                second = line[:19]
                moment = _moment(second) if _AT.fullmatch(second) else ""
            if not moment:
                add(self._answer(line, quoted))
                continue
            add(begin)
            add(
                f'"at":"{moment}","client":"{client}","server":"{server}","request":"{request}","host":"{tail[: tail.find(_QUOTE)]}"}},'
                f'"input":"{quoted}"}}\n'.encode()
            )
        return pieces

    def _plain(self, line: str, quoted: str, level: str, says: str, client: str, server: str, rest: str) -> bytes | None:
        """Return the object for a line of a request without upstream whose like is known; `rest` is what follows `request: "`."""
        request, found, host = rest.partition('", host: "')
        shape = (
            self._loose.get((level, request.partition(" ")[0], _VARIES.sub("0", says), "", client != ""))
            if found and server
            else None
        )
        if shape is None or line.count('"') - says.count('"') not in (4, 6) or not _AT.match(line):
            return None
        path = says.partition('"')[2].partition('"')[0] if shape.has_file else ""
        return (
            f'{shape.begin}"at":"{_moment(line)}","client":"{client}","server":"{server}","request":"{request}","host":"{host[: host.find(_QUOTE)]}"'
            f'{_more("file", path)}}},"input":"{quoted}"}}\n'
        ).encode()

    def _answer(self, line: str, quoted: str | None) -> bytes:
        """Return the object for a line that is not quite like the common one, or the first of its kind."""
        match = _LINE.fullmatch(line) if quoted else None
        if match is None:
            return self._anew(line)
        at, level, says, client, server, method, uri, upstream, host = match.groups("")
        key = (level, says, method, upstream, client != "")  # without a client it is the proxy's own matter
        begin = self._exact.get(key)
        shape = _Shape(begin) if begin else self._shape(line, key, (client, server, uri, host))
        if shape is None:
            return self._anew(line)
        if begin and upstream and host and client and says.find(", ") < 0 and "unix:" not in upstream and len(upstream) > 10:
            self._whole[f"[{level}"[:5], says, upstream] = begin.encode()
        return (
            f'{shape.begin}"at":"{_moment(at)}","client":{_null(client)},"server":{_null(server)},"request":{_null(uri and method + uri)}'
            f"{_more('host', host)}{_more('file', _PATH.findall(says)[0]) if shape.has_file else ''}"
            f'}},"input":"{quoted}"}}\n'
        ).encode()

    def _shape(self, line: str, key: _Key, parts: tuple[str, str, str, str]) -> _Shape | None:
        """Return the answer to lines of this kind, found now or before; None where a line has to be explained by itself."""
        level, says, method, upstream, is_of_client = key
        path = _PATH.search(says)
        loose = (f"[{level}"[:5], method, _VARIES.sub("0", says), upstream, is_of_client)
        if shape := self._loose.get(loose):
            return shape
        explanation = self._explain(line)
        client, server, uri, host = parts
        expected = {"client": client, "server": server, "request": uri and method + uri, "host": host}
        if explanation.kind != LOG_LINE or any((explanation.fields.get(name) or "") != part for name, part in expected.items()):
            return None
        fixed = {name: value for name, value in explanation.fields.items() if name not in _VARYING}
        if len(self._exact) + len(self._loose) > MOST_SHAPES:
            self._exact.clear()
            self._loose.clear()
            self._whole.clear()
        has_file = path is not None and fixed.get("file") == path[1]
        rest = {name: value for name, value in fixed.items() if name != "file"} if has_file else fixed
        told = " ".join(str(value) for value in rest.values())
        varying = [part.strip('"') for part in _VARIES.findall(says)]
        if varying and not any(part in told for part in varying) and (path is None or says.find('"') == path.start()):
            self._loose[loose] = _Shape(_begin(explanation, rest), has_file)
            return self._loose[loose]
        self._exact[key] = _begin(explanation, fixed)
        return _Shape(self._exact[key])

    def _anew(self, line: str) -> bytes:
        """Return the object for a line of any format: read anew, and answered as the last one that was read alike."""
        record = parse(line, product_of(self.proxy))
        if record is None or record.at is None:
            return self._unlike(line)
        alike = _ALIKE(record)
        begin = self._records.get(alike)
        if begin is None:
            if len(self._records) > MOST_SHAPES:
                self._records.clear()
            explanation = of_record("", record)
            fixed = {name: value for name, value in document(explanation).fields.items() if name not in (*_VARYING, *_SELDOM)}
            begin = self._records[alike] = _begin(explanation, fixed).encode()
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
        return begin + rest[len(b'{"fields":{') :] + b"\n"

    def _unlike(self, line: str) -> bytes:
        explanation = self._explain(line)
        if explanation.kind == UNRECOGNISED and line.strip():
            self.unrecognised += 1
        return render_line(explanation)

    def _explain(self, line: str) -> Explanation:
        return explain(line, self.proxy)


def _quoted(text: str) -> str | None:
    """Return text as it stands within quotation marks in JSON, if there nothing but these (and line feeds) is written otherwise."""
    if not text.isascii() or len(text) > 4 * CHUNK_BYTES:
        return None
    encoded = msgspec.json.encode(text)
    return encoded[1:-1].decode() if len(encoded) == len(text) + 2 + text.count('"') + text.count("\n") else None


def _begin(explanation: Explanation, fields: dict[str, Any]) -> str:
    """Return the object of an explanation as far as all lines like it share it: `{… "fields":{…,`."""
    found = msgspec.to_builtins(document(explanation))
    del found["input"], found["fields"]
    return msgspec.json.encode({**found, "fields": fields}).decode()[:-2] + ","


def _moment(at: str) -> str:
    return f"{at[:4]}-{at[5:7]}-{at[8:10]}T{at[11:19]}"


def _null(text: str) -> str:
    return f'"{text}"' if text else "null"


def _more(name: str, text: str) -> str:
    return f',"{name}":"{text}"' if text else ""


def chunks(read: Any) -> Iterator[bytes]:
    """Yield whole lines as they come from `read` (a count of bytes → at most so many bytes, none at the end)."""
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
