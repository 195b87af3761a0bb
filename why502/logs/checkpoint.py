"""How far a log was counted: what a follower keeps, so that it goes on where it stopped."""

from __future__ import annotations

from why502.model.base import Value


class Head(Value, frozen=True):
    """A hash of the first bytes of a file, by which its content is known under every name."""

    size_bytes: int
    digest: str


class Place(Value, frozen=True, kw_only=True):
    """How far one file was counted. `marker`: a hash of the bytes right before `offset`."""

    device: int
    inode: int
    name: str  # the path that it had last
    offset: int = 0
    marker: str = ""
    head: Head | None = None


class Checkpoint(Value, frozen=True, kw_only=True):
    """Where to go on. `files`: those that may still grow, oldest first. `known`: contents of rotated files that are done with.

    `cursor`: of a journal, the last entry that was counted.
    """

    path: str
    files: tuple[Place, ...] = ()
    known: tuple[Head, ...] = ()
    cursor: str = ""
    lost_bytes: int = 0  # that were seen to be there, and could not be read any more
