"""Cuts a part of a log at line ends: as chunks for Python, or copied into the buffer of the compiled reader."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from why502.logs import native
from why502.logs.window import BLOCK_BYTES, LINE_BYTES, Chunk, blocks

if TYPE_CHECKING:
    from why502.logs.scan.work import Part

_BLOCK_BYTES = 1 << 18  # block size for a compressed log: the data before any damage still counts


def filled(stream: BinaryIO, part: Part, fast: native.Reader) -> Iterator[tuple[int, int]]:
    """Fill the buffer repeatedly; yield its position in the log and the bytes of whole lines in it, until the part is read."""
    if part.end is None:
        yield from _filled_by(_ahead(blocks(stream, _BLOCK_BYTES)), fast)
        return
    position = line_begin(stream, part.start)
    left = 0
    while position + left < part.end:
        room = fast.buffer[left:]
        got = _read_into(stream, room[: part.end - position - left])
        if not got:
            break
        size = left + got
        if end := _last_feed(fast.buffer, size):
            yield position, end
        rest = bytes(fast.buffer[end:size]) if size - end < LINE_BYTES else b""
        position += size - len(rest)
        left = len(rest)
        fast.buffer[:left] = rest
    if left:  # the last line ends after the part
        rest = stream.read(LINE_BYTES)
        rest = rest[: rest.find(b"\n") + 1] or rest + b"\n"
        fast.buffer[left : left + len(rest)] = rest
        yield position, left + len(rest)


def _filled_by(source: Iterator[bytes], fast: native.Reader) -> Iterator[tuple[int, int]]:
    position = size = 0
    for block in source:
        for begin in range(0, len(block), BLOCK_BYTES):
            piece = block[begin : begin + BLOCK_BYTES]
            fast.buffer[size : size + len(piece)] = piece
            size += len(piece)
            if end := _last_feed(fast.buffer, size):
                yield position, end
            rest = bytes(fast.buffer[end:size]) if size - end < LINE_BYTES else b""
            position += size - len(rest)
            size = len(rest)
            fast.buffer[:size] = rest
    if size:
        fast.buffer[size] = 10
        yield position, size + 1


def _last_feed(buffer: memoryview, size: int) -> int:
    """Return where the last whole line ends."""
    begin = size
    while begin:
        begin, end = max(begin - 4096, 0), begin
        if (found := bytes(buffer[begin:end]).rfind(b"\n")) >= 0:
            return begin + found + 1
    return 0


def _read_into(stream: BinaryIO, room: memoryview) -> int:
    got = stream.readinto(room)  # type: ignore[attr-defined]
    return got or 0


def line_begin(stream: BinaryIO, start: int) -> int:
    """Return the start of the first line at `start` or later, and move the stream there."""
    if not start:
        stream.seek(0)
        return 0
    position = start - 1
    stream.seek(position)
    while block := stream.read(1 << 16):
        if (found := block.find(b"\n")) >= 0:
            position += found + 1
            break
        position += len(block)
    stream.seek(position)
    return position


def chunks(stream: BinaryIO, part: Part, goes_on: Callable[[str], bool] | None = None) -> Iterator[Chunk]:
    """Yield the lines of a part; with `goes_on`, also the following lines that belong to its last entry."""
    start = line_begin(stream, part.start) if part.end is not None else 0
    source = _ahead(blocks(stream, _BLOCK_BYTES)) if part.end is None else iter(lambda: stream.read(BLOCK_BYTES), b"")
    rest = b""
    for block in source:
        data = rest + block
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if not end:
            if len(rest) > LINE_BYTES:
                start, rest = start + len(rest), b""
            continue
        data = data[:end]
        if part.end is not None and start + len(data) >= part.end:
            yield from _until(data, start, part.end, goes_on)
            return
        yield Chunk(data, start, None)
        start += len(data)
    if rest and (part.end is None or start < part.end):
        yield Chunk(rest, start, None)


def _until(data: bytes, start: int, end: int, goes_on: Callable[[str], bool] | None) -> Iterator[Chunk]:
    if start >= end:
        return
    cut = data.find(b"\n", max(end - start - 1, 0)) + 1
    while goes_on is not None and cut < len(data):
        following = data[cut : data.find(b"\n", cut)]
        if not goes_on(following.decode("utf-8", "surrogateescape")):
            break
        cut += len(following) + 1
    yield Chunk(data[: cut or len(data)], start, None)


def _ahead(source: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same chunks, read ahead by a thread.

    Decompression and counting run in parallel, since both release the interpreter.
    """
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(4)
    is_over = threading.Event()

    def fill() -> None:
        try:
            for block in source:
                while not is_over.is_set():
                    try:
                        waiting.put(block, timeout=0.5)
                        break
                    except queue.Full:
                        continue
                if is_over.is_set():
                    return
            end: BaseException | None = None
        except BaseException as error:
            end = error
        while not is_over.is_set():
            try:
                waiting.put(end, timeout=0.5)
                return
            except queue.Full:
                continue

    threading.Thread(target=fill, daemon=True).start()
    try:
        while (block := waiting.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        is_over.set()
