"""A file that is open while its log is followed: how far it was counted, and the bytes that came since."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from msgspec import structs

from why502.logs import window
from why502.logs.checkpoint import Head, Place
from why502.logs.follow.content import HEAD_BYTES, MARKER_BYTES, after, hashed, marker
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.reading import Carried
from why502.logs.window import LINE_BYTES, PROBE_BYTES

FRESH_S = 2.0  # a directory may change twice within one tick of its time, which is a second on some file systems
_ZEROS = 512
_GZIP = b"\x1f\x8b"
_GZIP_BITS = 31  # the largest window, and a header as gzip writes it: zlib(3)


@dataclass(slots=True)
class OpenFile:
    """One file that is open."""

    stream: BinaryIO
    place: Place
    begin: bytes  # the first bytes of its content
    is_compressed: bool = False
    is_growing: bool = False  # it is compressed, and the server adds to it (`gzip` of access_log)
    is_left: bool = False  # nobody writes to it any more
    is_replaced: bool = False  # there is a newer one
    quiet_since: float = 0.0
    carried: Carried = field(default_factory=Carried)
    form: Form | None = None
    form_of_bytes: int = 0  # how much of it told the form
    form_since: int = 0  # what comes before this place has another form
    size_bytes: int = 0  # when it was looked at last
    changed: tuple[int, int] = (-1, -1)  # its size, and when it was written to, when its content was known to be the same
    is_short: bool = False  # it was shorter than what was counted of it when it was looked at last
    blocks: Iterator[bytes] | None = None  # of a compressed one, what is not read yet
    ahead: bytes = b""
    tail: bytes = b""  # and the last that was

    @property
    def identity(self) -> tuple[int, int]:
        """Return the device and the inode."""
        return self.place.device, self.place.inode

    def first_bytes(self) -> bytes:
        """Return the first bytes of its content. Raises OSError."""
        return self.begin if self.is_compressed else os.pread(self.stream.fileno(), HEAD_BYTES, 0)

    def is_deleted(self) -> bool:
        """Return whether it was read and has no name any more: a copy of it is then complete, and found again by its content."""
        return self.place.offset > 0 and not os.fstat(self.stream.fileno()).st_nlink

    def is_unchanged(self) -> bool:
        """Return whether all of it was counted, and nobody wrote to it since. Raises OSError."""
        status = os.fstat(self.stream.fileno())
        return status.st_size == self.place.offset and (status.st_size, status.st_mtime_ns) == self.changed

    def is_new_content(self) -> bool:
        """Return whether what was counted of it is no longer in it.

        A file server may tell an old size once: a file that seems truncated is looked at twice.
        """
        place = self.place
        status = os.fstat(self.stream.fileno())
        if (status.st_size, status.st_mtime_ns) == self.changed:
            return False
        size_bytes = status.st_size
        if size_bytes < place.offset and not self.is_short:
            self.is_short = True
            return False
        is_new = size_bytes < place.offset or marker(self.stream, place.offset) != place.marker
        self.is_short = False
        self.size_bytes = max(self.size_bytes, place.offset) if is_new else size_bytes
        if not is_new and time.time() - status.st_mtime >= FRESH_S:
            self.changed = (status.st_size, status.st_mtime_ns)
        return is_new

    def restart(self) -> None:
        """Go on at its begin: its content was replaced."""
        self.place = structs.replace(self.place, offset=0, marker="", head=None)
        self.size_bytes = os.fstat(self.stream.fileno()).st_size
        self.carried, self.form, self.form_of_bytes, self.form_since = Carried(), None, 0, 0

    def resume(self, place: Place) -> None:
        """Go on where its content was counted up to, under whatever name."""
        self.place = structs.replace(self.place, offset=place.offset, marker=place.marker, head=place.head)

    def move(self, offset: int, digest: str | None = None) -> None:
        """Note that it was counted up to a place. `digest`: of the bytes right before it, if it is known. Raises OSError."""
        self.begin = self.first_bytes()
        head = Head(len(self.begin), hashed(self.begin)) if self.begin else None
        before = marker(self.stream, offset) if digest is None else digest
        self.place = structs.replace(self.place, offset=offset, marker=before, head=head)

    def skip_hole(self, lines: bytes) -> bool:
        """Go on behind the hole that a writer leaves who does not append, and return whether there is one. Raises OSError."""
        if self.is_compressed or any(lines[:_ZEROS]):
            return False
        end = _past_hole(self.stream, self.place.offset)
        if end <= self.place.offset + LINE_BYTES:
            return False
        self.move(end)
        return True

    def new_bytes(self, most_bytes: int) -> tuple[bytes, int]:
        """Return new bytes together with some before them, and where those begin. Nothing where its content changes just now.

        Raises one of READ_ERRORS, HostError.
        """
        data, begin = self._unread(most_bytes)
        if data and not self.place.offset and not self.is_compressed and data.startswith(_GZIP):
            self.is_compressed = self.is_growing = True  # it was empty when it was opened
            data, begin = self._unread(most_bytes)
            self.begin = data[:HEAD_BYTES]
        return data, begin

    def _unread(self, most_bytes: int) -> tuple[bytes, int]:
        place = self.place
        back = MARKER_BYTES if self.carried.is_of_before else LINE_BYTES
        if self.is_compressed:
            data = self._decompressed(most_bytes)
            return (self.tail + data if data else b""), place.offset - len(self.tail)
        begin = max(place.offset - back, 0)
        data = os.pread(self.stream.fileno(), place.offset - begin + most_bytes, begin)
        before = data[: place.offset - begin]
        if len(data) <= place.offset - begin or (place.marker and hashed(before[-MARKER_BYTES:]) != place.marker):
            return b"", begin
        return data, begin

    def _decompressed(self, most_bytes: int) -> bytes:
        if self.blocks is None:
            self.blocks = _growing(self.stream) if self.is_growing else window.blocks(self.stream)
            self.ahead, self.tail = after(self.blocks, self.place.offset)
        data = self.ahead
        for block in self.blocks if len(data) < most_bytes else ():
            data += block
            if len(data) >= most_bytes or not block:
                break
        self.ahead = data
        self.size_bytes = self.place.offset + len(data)
        return data

    def form_of(self, lines: bytes, given: Form | None) -> Form:
        """Return how its lines are read. While it is small, they are looked at again as it grows.

        `lines`: those that are new. `given`: what a configuration tells. Raises OSError.
        """
        size = self.place.offset + len(lines)
        if self.form is None or (self.form_of_bytes < PROBE_BYTES and size > 2 * self.form_of_bytes):
            sample = lines[:PROBE_BYTES]
            if self.place.offset and not self.is_compressed:
                sample = os.pread(self.stream.fileno(), PROBE_BYTES, self.form_since)
            self.form, self.form_of_bytes = find(sample[: sample.rfind(b"\n") + 1] or sample, given), size
        return self.form


def opened(name: str, path: str) -> OpenFile:
    """Open a file of the log at `path`, to be read from its begin. Raises OSError, HostError."""
    if not stat.S_ISREG(Path(name).stat().st_mode):
        raise OSError("is not a regular file")
    stream = open(name, "rb", buffering=0, opener=_opener)  # noqa: SIM115 - it stays open
    try:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("is not a regular file")
        is_compressed = window.is_compressed(stream)
        is_growing = is_compressed and name == path
        begin = next(_growing(stream))[:HEAD_BYTES] if is_growing else window.head(stream, HEAD_BYTES)
    except BaseException:
        stream.close()
        raise
    place = Place(device=status.st_dev, inode=status.st_ino, name=str(Path(name).resolve()))
    return OpenFile(stream, place, begin, is_compressed, is_growing, is_left=is_compressed and not is_growing)


def _opener(path: str, flags: int) -> int:
    """Open a file that may have become a pipe since it was looked at: that must not wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _past_hole(stream: BinaryIO, offset: int) -> int:
    """Return where the next bytes are that are not in a hole; the same place if there are none, or it cannot be told."""
    try:
        return os.lseek(stream.fileno(), offset, os.SEEK_DATA)
    except OSError:
        return offset


def _growing(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the content of a gzip file to which members are added; b"" whenever there is no more for now. Raises zlib.error."""
    at, left, engine = 0, b"", zlib.decompressobj(_GZIP_BITS)
    while True:
        if not left:
            left = os.pread(stream.fileno(), PROBE_BYTES, at)
            at += len(left)
        if not left:
            yield b""
            continue
        block = engine.decompress(left, window.BLOCK_BYTES)
        left = engine.unconsumed_tail
        if engine.eof:
            left, engine = engine.unused_data, zlib.decompressobj(_GZIP_BITS)
        if block:
            yield block


def is_written(device: int, inode: int) -> bool:
    """Return whether a process that can be looked at has a file open for writing: proc_pid_fdinfo(5)."""
    for directory in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            for link in directory.iterdir():
                with contextlib.suppress(OSError):
                    status = link.stat()
                    if (status.st_dev, status.st_ino) == (device, inode):
                        flags = (directory.parent / "fdinfo" / link.name).read_text().partition("flags:")[2].split()[0]
                        if int(flags, 8) & os.O_ACCMODE:
                            return True
    return False
