"""Reads the end of a log file in any location and any format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.file_kind import FileKind
from why502.model.times import of_epoch

BYTES = 1 << 20
UNTIMED_LINES = 60  # of a log without timestamps: this many lines may be recent


@dataclass(frozen=True, slots=True)
class Tail:
    """The last complete lines of a file, and its modification time."""

    data: bytes
    written_at: datetime | None

    @property
    def lines(self) -> tuple[str, ...]:
        """All its lines."""
        return tuple(self.data.decode("utf-8", "replace").splitlines())

    def marked(self, marks: Iterable[bytes]) -> list[int]:
        """Return the offsets of lines that contain one of the marks, in order. Fast, since most lines of a log contain none."""
        starts: set[int] = set()
        for mark in marks:
            at = self.data.find(mark)
            while at >= 0:
                starts.add(self.data.rfind(b"\n", 0, at) + 1)
                end = self.data.find(b"\n", at)
                at = self.data.find(mark, end) if end >= 0 else -1
        return sorted(starts)

    def line(self, start: int) -> str:
        """Return the line that begins at an offset."""
        end = self.data.find(b"\n", start)
        return self.data[start : end if end >= 0 else None].decode("utf-8", "replace")

    def before(self, start: int) -> Iterator[str]:
        """Yield the lines before an offset, the nearest first, up to 16 KiB back."""
        near = self.data[max(0, start - (16 << 10)) : start].decode("utf-8", "replace")
        yield from reversed(near.splitlines())

    def after(self, start: int, lines: int = 3) -> tuple[str, ...]:
        """Return the next `lines` lines after an offset."""
        end = self.data.find(b"\n", start)
        near = self.data[end + 1 : end + 1 + (4 << 10)] if end >= 0 else b""
        return tuple(near.decode("utf-8", "replace").splitlines()[:lines])

    def newest(self, since: datetime) -> tuple[str, ...]:
        """Return the last lines, if the file was modified at most 2 minutes before `since`, or later."""
        fresh = self.written_at is not None and self.written_at >= since - timedelta(minutes=2)
        return self.lines[-UNTIMED_LINES:] if fresh else ()


NOTHING = Tail(b"", None)


def tail(host: Host, path: str, size_bytes: int = BYTES) -> Tail:
    """Return the complete lines in the last `size_bytes` of a regular file. Raises HostError."""
    stat = host.stat(path)
    if stat.kind is not FileKind.FILE:
        raise HostError(f"{path}: not a regular file")
    try:
        with host.open(path) as stream:
            start = max(0, stat.size_bytes - size_bytes)
            stream.seek(start)
            data = stream.read(size_bytes)
    except (OSError, ValueError) as error:
        raise HostError(f"{path}: {error}") from error
    if start:
        data = data.partition(b"\n")[2]
    return Tail(data, of_epoch(stat.modified_s))
