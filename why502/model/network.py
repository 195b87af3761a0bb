"""Network: a network namespace other than ours."""

from __future__ import annotations

from why502.model.base import Value


class Network(Value, frozen=True, kw_only=True):
    """Another network namespace: a process in it, and its inode. The inode tells whether the process is still in the same one."""

    pid: int
    inode: str
