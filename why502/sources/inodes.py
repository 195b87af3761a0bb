"""Which process holds which socket, by the links in /proc/PID/fd (proc_pid_fd(5))."""

from __future__ import annotations

from functools import partial

from why502.host.base import Host
from why502.sources.attempt import attempt


def socket_owners(host: Host, wanted: set[int]) -> dict[int, tuple[int, ...]]:
    """Return the numbers of the processes that hold each of the sockets, as far as they may be seen."""
    owners: dict[int, list[int]] = {}
    for name in host.list("/proc"):
        if not name.isdecimal():
            continue
        for number in attempt(partial(host.list, f"/proc/{name}/fd")) or ():
            link = attempt(partial(host.link, f"/proc/{name}/fd/{number}")) or ""
            if link.startswith("socket:[") and (inode := int(link[8:-1])) in wanted:
                owners.setdefault(inode, []).append(int(name))
    return {inode: tuple(dict.fromkeys(pids)) for inode, pids in owners.items()}
