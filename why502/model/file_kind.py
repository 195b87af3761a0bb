"""FileKind: what lies at a path."""

from __future__ import annotations

from enum import StrEnum


class FileKind(StrEnum):
    """What lies at a path (inode(7))."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"
    SOCKET = "socket"
    OTHER = "other"
    MISSING = "missing"
    UNSEEN = ""

    @classmethod
    def _missing_(cls, value: object) -> FileKind | None:
        """Return what an earlier version meant: its bundles call a directory a folder."""
        return cls.DIRECTORY if value == "folder" else None
