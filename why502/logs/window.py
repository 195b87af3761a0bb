"""The part of a log inside a time window: found by bisection in a plain file, by skipping in a compressed one.

Times need not be in perfect order: an access log is ordered by the end of requests, and buffers delay lines. So reading starts
and ends SLACK_S outside of the window, and the caller must still check each line.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, Protocol

from why502.model.errors import HostError

BLOCK_BYTES = 1 << 20
PROBE_BYTES = 1 << 16
LINE_BYTES = 1 << 17  # nginx accepts request lines of 8 KiB, and escaping makes them four times as long
NUMBERED_BYTES = 16 << 20  # read at most this much more just to get line numbers
SLACK_S = 60.0
XZ_MEMORY_BYTES = 128 << 20
EXPANDED_BYTES, EXPANDED_TIMES = 1 << 30, 500  # a file above both limits is not a log: identical lines shrink to a 300th

TimeOf = Callable[[bytes], float | None]  # the time in a line, in seconds since the epoch


class Chunk(NamedTuple):
    """Whole lines of a file: the byte where they start (before compression), and the number of the first (None: not counted)."""

    data: bytes
    start: int
    line: int | None


READ_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def head(stream: BinaryIO, size_bytes: int = PROBE_BYTES) -> bytes:
    """Return the first bytes of a log, decompressed; of a damaged one those before. Raises HostError if there are none.

    Rewinds the stream to its start.
    """
    data = b""
    try:
        for block in blocks(stream, size_bytes):
            data += block
            if len(data) >= size_bytes:
                break
    except (HostError, *READ_ERRORS) as error:
        if not data:
            raise error if isinstance(error, HostError) else HostError(reason_of(error)) from error
    try:
        stream.seek(0)
    except READ_ERRORS as error:
        raise HostError(reason_of(error)) from error
    return data[:size_bytes]


def is_compressed(stream: BinaryIO) -> bool:
    """Return whether the content (not the name) has a compression that we can read. Rewinds the stream to its start."""
    return _decompressor(stream) is not None


def blocks(stream: BinaryIO, size_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield the decompressed content from the start of a log. Raises one of READ_ERRORS, HostError."""
    reader = _decompressor(stream)
    yield from _bounded(reader(stream, size_bytes), stream) if reader else _plain(stream, size_bytes)


def _bounded(source: Iterator[bytes], stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a compressed file. Raises HostError if it is far larger than a log in a file of that size can be."""
    size_bytes = 0
    for block in source:
        size_bytes += len(block)
        if size_bytes > EXPANDED_BYTES and size_bytes > EXPANDED_TIMES * max(stream.tell(), 1):
            raise HostError(
                f"it expands more than {EXPANDED_TIMES}-fold, to over {EXPANDED_BYTES >> 30} GiB: only the beginning was read",
                "decompress it yourself if it is a log",
            )
        yield block


def begin(stream: BinaryIO, size_bytes: int, since: float, time_of: TimeOf) -> int:
    """Return the byte at which to start reading: 0 in a compressed file, otherwise see `seek`. Raises HostError."""
    try:
        return 0 if is_compressed(stream) else seek(stream, size_bytes, since, time_of)
    except READ_ERRORS as error:
        raise HostError(reason_of(error)) from error


def seek(stream: BinaryIO, size_bytes: int, since: float, time_of: TimeOf, low: int = 0) -> int:
    """Return the offset of the latest line found by bisection whose time is before the window (less SLACK_S); otherwise `low`."""
    high = size_bytes
    while high - low > PROBE_BYTES:
        middle = (low + high) // 2
        found = _first_timed(stream, middle, time_of)
        if found is not None and found[1] < since - SLACK_S and found[0] < high:
            low = found[0]
        else:  # in the window, or unknown: starting too early only costs time
            high = middle
    return low


def end(stream: BinaryIO, size_bytes: int, until: float, time_of: TimeOf) -> int:
    """Return an offset behind every line of the window, found by bisection: up to that of a line far later than `until`.

    What has no time (a hole, a line of many megabytes) may have lines of the window behind it. Raises HostError.
    """
    low, high = 0, size_bytes
    try:
        while high - low > PROBE_BYTES:
            middle = (low + high) // 2
            found = _first_timed(stream, middle, time_of)
            if found is not None and found[1] > until + 2 * SLACK_S and found[0] < high:
                high = found[0]
            else:  # in the window, or unknown: reading too much only costs time
                low = middle
    except READ_ERRORS as error:
        raise HostError(reason_of(error)) from error
    return min(high + 2 * PROBE_BYTES, size_bytes)


def first_time(data: bytes, time_of: TimeOf) -> float | None:
    """Return the first time found in the first 200 lines."""
    for line in data.split(b"\n", 200)[:200]:
        if (at := time_of(line)) is not None:
            return at
    return None


def _first_timed(stream: BinaryIO, offset: int, time_of: TimeOf) -> tuple[int, float] | None:
    stream.seek(offset)
    data = stream.read(PROBE_BYTES)
    begin = data.find(b"\n") + 1
    if not begin:
        return None
    for line in data[begin:].split(b"\n")[:-1]:
        if (at := time_of(line)) is not None:
            return offset + begin, at
        begin += len(line) + 1
    return None


def count_lines(stream: BinaryIO, offset: int) -> int:
    """Return the number of the line that starts at a byte."""
    stream.seek(0)
    left, number = offset, 1
    while left and (block := stream.read(min(left, BLOCK_BYTES))):
        number += block.count(b"\n")
        left -= len(block)
    return number


def _plain(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    while block := stream.read(size_bytes):
        yield block


class _Decompressed(Protocol):
    def read1(self, size: int, /) -> bytes: ...


def _pieces(stream: _Decompressed, size_bytes: int) -> Iterator[bytes]:
    """Yield what is decompressed as soon as it is there: `read` would lose what stands before damage."""
    while block := stream.read1(size_bytes):
        yield block


class _Filling(io.RawIOBase):
    """A stream that fills buffers, as isal asks for; streams of web servers can only be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _gzip(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    try:
        faster = importlib.import_module("isal.igzip")
    except ImportError:  # it is only installed where there is a wheel
        yield from _pieces(gzip.GzipFile(fileobj=stream), size_bytes)
        return
    given = 0
    try:
        for block in _pieces(faster.IGzipFile(fileobj=_Filling(stream)), size_bytes):
            given += len(block)
            yield block
    except (OSError, EOFError, faster.isal_zlib.error) as error:
        try:
            stream.seek(0)
        except (OSError, ValueError):  # a pipe
            raise zlib.error(str(error)) from error
        yield from _after(gzip.GzipFile(fileobj=stream), given, size_bytes)


def _after(stream: _Decompressed, given: int, size_bytes: int) -> Iterator[bytes]:
    """Yield what follows the given bytes: isal loses a block with damage in it, zlib only what stands behind the damage."""
    for block in _pieces(stream, size_bytes):
        if given < len(block):
            yield block[given:]
        given = max(given - len(block), 0)


def _bz2(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    yield from _pieces(bz2.BZ2File(stream), size_bytes)


def _xz(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Like lzma.LZMAFile, which has no memory limit: a hostile file's header can request gigabytes."""
    data = stream.read(PROBE_BYTES)
    while data:
        decompressor = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)
        while not decompressor.eof:
            yield decompressor.decompress(data, size_bytes)
            data = stream.read(PROBE_BYTES) if decompressor.needs_input else b""
            if not data and decompressor.needs_input and not decompressor.eof:
                raise EOFError("the compressed file is truncated")
        data = decompressor.unused_data or stream.read(PROBE_BYTES)


def _zstd(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    try:
        zstandard = importlib.import_module("zstandard")
    except ImportError as error:
        raise HostError(
            "reading .zst needs the zstandard package", "pip install zstandard, or give the file decompressed"
        ) from error
    reader = zstandard.ZstdDecompressor(max_window_size=XZ_MEMORY_BYTES).stream_reader(stream, read_across_frames=True)
    try:
        yield from _pieces(reader, size_bytes)
    except zstandard.ZstdError as error:
        raise HostError(f"damaged: {error}") from error


_MAGIC = ((b"\x1f\x8b", _gzip), (b"BZh", _bz2), (b"\xfd7zXZ\x00", _xz), (b"\x28\xb5\x2f\xfd", _zstd))


def _decompressor(stream: BinaryIO) -> Callable[[BinaryIO, int], Iterator[bytes]] | None:
    stream.seek(0)
    magic = stream.read(6)
    stream.seek(0)
    return next((reader for begin, reader in _MAGIC if magic.startswith(begin)), None)


def reason_of(error: Exception) -> str:
    """Return why a log could not be read on, from one of READ_ERRORS."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"damaged or truncated: {error}"
