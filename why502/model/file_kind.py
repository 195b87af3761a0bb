"""FileKind: the type of a file."""

from __future__ import annotations

from enum import StrEnum


class FileKind(StrEnum):
    """The type of a file (inode(7))."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    SOCKET = "socket"
    OTHER = "other"
    MISSING = "missing"
    UNSEEN = ""

    @classmethod
    def _missing_(cls, value: object) -> FileKind | None:
        """Return the kind for a value of an earlier version: its bundles call a directory a folder."""
        return cls.DIRECTORY if value == "folder" else None
