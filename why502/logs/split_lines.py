"""Joins the parts into which a container runtime split a long line: one object for each log that is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from why502.logs import wrappers
from why502.logs.window import LINE_BYTES, Chunk
from why502.model.patterns import lazy

_CRI = lazy(rb"(\d{4}-\d\d-\d\dT\S{8,24} (stdout|stderr) )([FP])((?::\w{1,20})* ?)")
_WHOLE = lazy(rb'^\{"log":"(?:[^"\\]|\\.)*+(?<=\\n)",')  # a `log` that ends with a line feed


class _Docker(msgspec.Struct):
    """A line of Docker's json-file driver."""

    log: str
    stream: str = ""
    time: str = ""


class _Held:
    """The parts of a message whose end has not arrived yet. `head`: the start of the joined line, or the whole first line."""

    def __init__(self, start: int, head: bytes, text: bytes, *, is_wanted: bool = True) -> None:
        self.start = start
        self.head = head
        self.text = bytearray(text)
        self.is_wanted = is_wanted

    def add(self, text: bytes) -> None:
        """Add a part; text beyond the maximum line length is dropped."""
        self.text += text[: max(LINE_BYTES - len(self.text), 0)]


class Lines:
    """Joins the parts into which a container runtime split a long line, separately for each stream (stdout, stderr)."""

    def __init__(self, wrapper: str) -> None:
        self._split = {wrappers.CRI: _of_cri, wrappers.DOCKER: _of_docker}.get(wrapper)
        self._held: dict[str, _Held] = {}

    @property
    def is_open(self) -> bool:
        """Return whether the end of a message is missing."""
        return bool(self._held)

    def feed(self, start: int, raw: bytes) -> tuple[int, bytes] | None:
        """Return the next whole line and the byte where it starts; None if its end has not arrived or the line is irrelevant."""
        if self._split is None or (not self._held and _WHOLE.search(raw)) or (part := self._split(raw)) is None:
            return start, raw
        stream, head, text, is_end = part
        held = self._held.get(stream)
        if held is None:
            if is_end:
                return start, raw
            self._held[stream] = _Held(start, head, text)
            return None
        held.add(text)
        if not is_end:
            return None
        del self._held[stream]
        return (held.start, _joined(held)) if held.is_wanted else None

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Yield the messages whose end never arrived."""
        for held in self._held.values():
            if held.is_wanted:
                yield held.start, _joined(held)
        self._held.clear()

    def begin_after(self, before: Iterable[bytes]) -> None:
        """Skip the ends of messages that started in the lines before the first one."""
        for raw in before:
            self.feed(0, raw)
        for held in self._held.values():
            held.is_wanted = False

    def close(self, following: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield the messages that started earlier and end in the following lines, then those whose end never arrived."""
        for start, raw in following:
            part = self._split(raw) if self._split else None
            if part is not None and part[0] in self._held and (whole := self.feed(start, raw)) is not None:
                yield whole
            if not self.is_open:
                return
        yield from self.rest()


def joined(wrapper: str, lines: list[str]) -> list[str]:
    """Return the lines of a sample with long messages joined."""
    if wrapper not in wrappers.PARTIAL:
        return lines
    source = Lines(wrapper)
    found = [source.feed(0, line.encode("utf-8", "surrogateescape")) for line in lines]
    return [raw.decode("utf-8", "surrogateescape") for _, raw in filter(None, found)]


def whole_lines(source: Iterable[Chunk], wrapper: str) -> Iterator[Chunk]:
    """Yield the chunks with each long message joined at its last line.

    The lines of the other parts become empty, so line numbers stay right.
    """
    if wrapper not in wrappers.PARTIAL:
        yield from source
        return
    lines, last = Lines(wrapper), Chunk(b"", 0, None)
    for last in source:
        yield last._replace(data=b"\n".join(_whole(lines, raw) for raw in last.data.split(b"\n")))
    if rest := [raw for _, raw in lines.rest()]:
        yield Chunk(b"\n".join(rest), last.start + len(last.data), None)


def _whole(lines: Lines, raw: bytes) -> bytes:
    found = lines.feed(0, raw)
    return b"" if found is None else found[1]


def _of_cri(raw: bytes) -> tuple[str, bytes, bytes, bool] | None:
    """Return the stream, the head of the joined line, the part of the message and whether it is the last one; None otherwise."""
    match = _CRI.match(raw)
    if match is None:
        return None
    return match[2].decode(), match[1] + b"F ", raw[match.end() :].rstrip(b"\r"), match[3] == b"F"


def _of_docker(raw: bytes) -> tuple[str, bytes, bytes, bool] | None:
    try:
        entry = msgspec.json.decode(raw, type=_Docker)
    except (ValueError, RecursionError):
        return None
    return entry.stream[:64], raw, entry.log.encode(), entry.log.endswith("\n")


def _joined(held: _Held) -> bytes:
    if not held.head.startswith(b"{"):
        return held.head + held.text
    entry = msgspec.json.decode(held.head, type=_Docker)
    entry.log = held.text.decode("utf-8", "replace")
    return msgspec.json.encode(entry)
