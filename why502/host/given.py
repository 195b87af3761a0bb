"""A host whose only files are given ones, which are in memory: a configuration that was pasted or uploaded."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Mapping
from typing import BinaryIO

from why502.host.base import Host, Stat
from why502.host.nowhere import NowhereHost
from why502.model.errors import Missing
from why502.model.file_kind import FileKind

ABSENT = "it is not among the given files"


class GivenHost(NowhereHost):
    """A Host with these files by absolute path, and the directories they are in. It reads nothing else, and runs nothing."""

    def __init__(self, files: Mapping[str, bytes], name: str = "") -> None:
        super().__init__(name)
        self._files = dict(files)
        self._directories: dict[str, set[str]] = {}
        for path in files:
            below = path
            while below != "/":
                above, child = posixpath.split(below)
                self._directories.setdefault(above, set()).add(child)
                below = above
        self._inodes = {path: number for number, path in enumerate((*self._files, *self._directories), 1)}

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        """Return a file's content, at most `limit_bytes` of it. Raises Missing."""
        return self._content(path)[:limit_bytes]

    def open(self, path: str) -> BinaryIO:
        """Return a seekable binary stream of a file. Raises Missing."""
        return io.BytesIO(self._content(path))

    def list(self, path: str) -> list[str]:
        """Return the names in a directory, sorted. Raises Missing."""
        if path not in self._directories:
            raise Missing(ABSENT)
        return sorted(self._directories[path])

    def stat(self, path: str, *, follow: bool = True) -> Stat:
        """Return what is known of a file or directory. Raises Missing."""
        if path not in self._inodes:
            raise Missing(ABSENT)
        content = self._files.get(path)
        return Stat(
            kind=FileKind.DIRECTORY if content is None else FileKind.FILE,
            mode=0o755 if content is None else 0o644,
            uid=0,
            gid=0,
            size_bytes=len(content or b""),
            modified_s=0.0,
            inode=self._inodes[path],
        )

    def acting_as(self, uid: int) -> Host:
        """Return this host: everybody may read what was given."""
        return self

    def supplier(self, path: str) -> int:
        """Return 0: whoever gave one file gave all of them."""
        return 0

    def _content(self, path: str) -> bytes:
        if path not in self._files:
            raise Missing(ABSENT)
        return self._files[path]
