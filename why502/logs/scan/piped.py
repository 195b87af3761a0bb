"""A stream that can be read only once: standard input, or a server without range support."""

from __future__ import annotations

import errno
import io
from typing import BinaryIO

HEAD_BYTES = 1 << 20


class Piped(io.RawIOBase):
    """A pipe that can be rewound as long as no more than HEAD_BYTES were read.

    `is_shared`: the pipe stays open when this is closed, because it is read again from its start.
    """

    def __init__(self, stream: BinaryIO, *, is_shared: bool = False) -> None:
        super().__init__()
        self._stream = stream
        self._is_shared = is_shared
        self._head = b""
        self._at = 0
        self._is_past = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True: seeking works within the head."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, b"" at the end."""
        if self._at < len(self._head):
            found = self._head[self._at : self._at + size] if size >= 0 else self._head[self._at :]
            self._at += len(found)
            return found
        found = self._stream.read1(size) if hasattr(self._stream, "read1") else self._stream.read(size)
        if not self._is_past:
            self._head += found
            self._is_past = len(self._head) > HEAD_BYTES
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        """Seek back to a position in the head."""
        if whence or offset > len(self._head) or (self._is_past and self._at > len(self._head)):
            raise OSError(errno.ESPIPE, "a pipe cannot be read twice")
        self._at = offset
        return offset

    def close(self) -> None:
        """Close the pipe, unless it is shared."""
        if not self._is_shared:
            if not self.closed:
                self._stream.close()
            super().close()
