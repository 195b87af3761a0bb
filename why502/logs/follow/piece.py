"""Some bytes of a log that are read like the file they come from."""

from __future__ import annotations

import io
from datetime import datetime

from why502.logs.scan.line_format import Form


class Piece(io.RawIOBase):
    """Some bytes of a file, at the places where they stand in it."""

    def __init__(self, data: bytes, begin: int) -> None:
        super().__init__()
        self._data, self._begin, self._at = data, begin, begin

    @property
    def end(self) -> int:
        """Return where the bytes end."""
        return self._begin + len(self._data)

    def between(self, start: int, end: int | None) -> bytes:
        """Return the bytes between two places."""
        return self._data[start - self._begin : None if end is None else end - self._begin]

    def line_begin(self, at: int) -> int:
        """Return where the line of a place begins."""
        return self._begin + self._data.rfind(b"\n", 0, at - self._begin) + 1

    def after_line(self, at: int) -> int:
        """Return where the line at a place ends; the begin if there is no end of a line."""
        return self._begin + self._data.find(b"\n", at - self._begin) + 1

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place of the file, and return it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._begin + len(self._data)}[whence]
        return self._at

    def readinto(self, room: object) -> int:
        """Read the next bytes into a buffer, and return how many they are."""
        view = memoryview(room)  # type: ignore[arg-type]
        self._at = max(self._at, self._begin)
        found = self._data[self._at - self._begin : self._at - self._begin + len(view)]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def minute_end(form: Form, piece: Piece, start: int, end: int) -> int:
    """Return where the lines of the first line's minute end, if they are in order.

    The end of all if their times cannot be read.
    """
    parse = form.parser()

    def minute(at: int) -> datetime | None:
        line = piece.between(at, piece.after_line(at)).decode("utf-8", "surrogateescape").rstrip("\r\n")
        record = parse(line)
        return None if record is None or record.at is None else record.at.replace(second=0, microsecond=0)

    low, high = start, piece.line_begin(end - 1)  # of the last line
    first = minute(start)
    if first is None or high <= low or minute(high) == first:
        return end
    while low < (middle := piece.after_line((low + high) // 2)) < high:
        if minute(middle) == first:
            low = middle
        else:
            high = middle
    return high
