"""A file to read, and the file names that are never logs."""

from __future__ import annotations

from why502.model.base import Value
from why502.model.patterns import lazy

_NOT_LOGS = lazy(r".*\.(?:conf|pid|sock|db|sqlite|json\.state|swp|tmp)$|\..*")


class Source(Value, frozen=True, kw_only=True):
    """One file. `size_bytes` as stored. `identity`: device and inode of a file of this machine.

    `reason`: why an entry of a directory is not read; "" for one that is.
    """

    path: str
    size_bytes: int = 0
    modified_s: float = 0.0
    identity: tuple[int, int] | None = None
    reason: str = ""


def is_no_log(name: str) -> bool:
    """Return whether the file name shows that it is not a log of its directory."""
    return _NOT_LOGS.fullmatch(name) is not None
