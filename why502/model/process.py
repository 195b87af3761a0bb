"""A process, with its use of descriptors."""

from __future__ import annotations

from datetime import datetime

from why502.model.base import Value


class Limits(Value, frozen=True, kw_only=True):
    """Descriptor limits and use of one process."""

    files_open: int | None = None
    files_limit: int | None = None


class Process(Value, frozen=True, kw_only=True):
    """One process (proc(5)). `user` falls back to the number. `state` is the letter of /proc/PID/stat."""

    pid: int
    ppid: int = 0
    name: str = ""
    argv: tuple[str, ...] = ()
    exe: str = ""
    user: str = ""
    uid: int | None = None
    groups: tuple[int, ...] = ()
    state: str = ""
    cwd: str = ""
    root: str = ""  # "" if its root directory is ours
    started_at: datetime | None = None
    cgroup: str = ""
    unit: str = ""  # systemd unit, from the cgroup
    container: str = ""  # id, from the cgroup
    container_name: str = ""  # with the first digits of the id: "shop-app (3f9a…)"; as its engine's files name it
    network: str = ""  # "" if its network namespace is ours, else its inode
    mounts: str = ""  # "" if its mount namespace is ours, else its inode
    limits: Limits | None = None
    children: int | None = None  # number of direct children
    private_tmp: str = ""  # real location of its /tmp, if it has a private one

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger stopped it (states T and t)."""
        return self.state in ("T", "t")

    @property
    def is_blocked(self) -> bool:
        """Whether it waits for a device and ignores signals (state D)."""
        return self.state == "D"

    @property
    def is_init(self) -> bool:
        """Whether it is the machine's init, the parent of every daemon. It holds the sockets of services started on demand."""
        return self.pid == 1 and self.name in ("systemd", "init")
