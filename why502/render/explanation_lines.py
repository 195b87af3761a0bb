"""Many lines to jsonl, at about the speed of a regular expression: what an outage writes over and over is explained once.

A line of nginx is taken apart by one expression. What is left when time, client, server, request and host are taken out is the key under
which the answer is kept, as bytes with gaps for these. Only plain ASCII without backslashes goes that way; all else is explained anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from why502.explanation import explain
from why502.model.explanation import LOG_LINE, UNRECOGNISED, Explanation
from why502.render.explanation import document, render_line

MOST_SHAPES = 8192
_TEXT = rb"[ !#-\[\]-~]"  # printable ASCII without quotation mark and backslash
_SHAPE = re.compile(
    rb"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(\w{4,6})\] \d{1,10}#\d{1,10}: (?:\*\d{1,18} )?"  # at, level
    rb"((?:(?!, client: )[ -\[\]-~]){1,500}+)"  # what happened
    rb"(?:, client: ([!-+\-./0-9:;<=>?@A-Z\[\]a-z]{1,100}+), server: ([!#-+\--\[\]-~]{0,255}+)"
    rb'(?:, request: "([A-Z]{1,10})( ' + _TEXT + rb'{1,1900}+)")?(?:, upstream: "(\w{4,8}://(?:unix:[^:"\\ ]{1,200}+:|[^/"\\ ]{1,200}+))'
    + _TEXT
    + rb'{0,1900}+")?(?:, host: "([!#-\[\]-~]{0,255}+)")?(?:, referrer: "' + _TEXT + rb'{0,1900}+")?)?\s*'
)  # fmt: skip
_GAPS = ("input", "at", "client", "server", "request", "host")


class Explainer:
    """Explains line after line. `proxy` as in `explain`; `unrecognised` counts the lines that nobody could read."""

    def __init__(self, proxy: str | None = None) -> None:
        self.proxy = proxy
        self.unrecognised = 0
        self._shapes: dict[tuple[bytes | bool | None, ...], bytes | None] = {}
        self._times: dict[bytes, bytes] = {}

    def explain(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield one JSON object with a line feed for each line."""
        match_of, shapes, slow = _SHAPE.fullmatch, self._shapes, self._slow
        times = self._times
        for line in lines:
            match = match_of(line)
            if match is None:
                yield slow(line)
                continue
            at, level, says, client, server, method, rest, upstream, host = match.groups()
            template = shapes.get((level, says, method, upstream, not client))
            if template is None:
                yield self._learn(line, match)
                continue
            stamp = times.get(at) or self._time(at)
            yield template % (
                line.rstrip().replace(b'"', b'\\"'),
                stamp,
                b'"%b"' % client if client else b"null",
                b'"%b"' % server if server else b"null",
                b'"%b%b"' % (method, rest) if method else b"null",
                b',"host":"%b"' % host if host else b"",
            )

    def _time(self, at: bytes) -> bytes:
        if len(self._times) > MOST_SHAPES:
            self._times.clear()
        stamp = self._times[at] = b'"%b-%b-%bT%b"' % (at[:4], at[5:7], at[8:10], at[11:])
        return stamp

    def _slow(self, line: bytes) -> bytes:
        explanation = explain(line.decode("utf-8", "surrogateescape").rstrip("\r\n"), self.proxy)
        if explanation.kind == UNRECOGNISED and line.strip():
            self.unrecognised += 1
        return render_line(explanation)

    def _learn(self, line: bytes, match: re.Match[bytes]) -> bytes:
        """Explain a line, and keep the answer for those like it, where the line's parts are found again in it as they stand there."""
        at, level, says, client, server, method, rest, upstream, host = match.groups()
        explanation = explain(line.decode("ascii").rstrip(), self.proxy)
        if explanation.kind == UNRECOGNISED:
            self.unrecognised += 1
        if explanation.kind != LOG_LINE or len(self._shapes) >= MOST_SHAPES:
            return render_line(explanation)
        found = explanation.fields
        parts = {
            "at": self._time(at)[1:-1],
            "client": client,
            "server": server or None,
            "request": method + rest if method else None,
            "host": host or None,
        }
        if all(_same(found.get(name), part) for name, part in parts.items()):
            self._shapes[level, says, method, upstream, not client] = _template(explanation)
        return render_line(explanation)


def _same(found: object, part: bytes | None) -> bool:
    return found == part.decode("ascii") if part else found is None


def _template(explanation: Explanation) -> bytes:
    """Return the answer with gaps, in the order of _GAPS. The host comes last among the fields, with its name, or not at all."""
    fields = {name: value for name, value in explanation.fields.items() if name != "host"}
    marked = {**fields, **{name: f"\ue000{name}\ue000" for name in _GAPS[1:-1]}, "\ue000host\ue000": None}
    encoded = msgspec.json.encode(document(msgspec.structs.replace(explanation, input="\ue000input\ue000", fields=marked)))
    encoded = encoded.replace(b"%", b"%%")
    for name in _GAPS:
        mark = f'"\ue000{name}\ue000"'.encode()
        if name == "host":
            encoded = encoded.replace(b"," + mark + b":null", b"%b")
        else:
            encoded = encoded.replace(mark, b'"%b"' if name == "input" else b"%b")
    return encoded + b"\n"
