"""Connections on which a database server works: none of its threads waits for their client.

MySQL and MariaDB give each connection a thread of its own by default (thread_handling = one-thread-per-connection,
sql/conn_handler; mariadb.com/kb/en/thread-pool-in-mariadb). It waits in poll(2) or recv(2) for the next query, and elsewhere
while it executes one or waits for a lock. No query is sent to the server, so its own list of sessions is not read.
"""

from __future__ import annotations

from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.errors import Denied, HostError
from why502.model.snapshot import Dependency, Gap

THREADS = 512
_ONE_THREAD_EACH = frozenset({"mariadbd", "mysqld"})
# System calls that wait for data of a client: read, poll, select, recvfrom, recvmsg, pselect6, ppoll (asm/unistd.h).
_FOR_CLIENT = {"x86_64": {0, 7, 23, 45, 47, 270, 271}, "aarch64": {63, 72, 73, 207, 212}}
_OF_A_POOL = {"x86_64": {232, 281}, "aarch64": {22}}  # epoll_wait, epoll_pwait


def has_a_thread_each(one: Dependency) -> bool:
    """Return whether the peer is a server on this machine whose connections each have a thread."""
    return one.process in _ONE_THREAD_EACH and one.pid is not None


def idle_threads(host: Host, pid: int, machine: str) -> int | None:
    """Return how many threads of such a server wait for their client; None if that is unknown, or it has a pool of threads.

    Raises Denied if its threads may not be looked at.
    """
    waits, pools = _FOR_CLIENT.get(machine), _OF_A_POOL.get(machine)
    threads = attempt(partial(host.list, f"/proc/{pid}/task"))
    if waits is None or pools is None or not threads or len(threads) > THREADS:
        return None
    found = 0
    for thread in threads:
        if thread == str(pid):  # it accepts connections
            continue
        try:
            words = host.read(f"/proc/{pid}/task/{thread}/syscall", limit_bytes=512).split()
        except Denied:
            raise
        except HostError:  # it has ended
            continue
        if not words or not words[0].isdigit():  # it runs
            continue
        if int(words[0]) in pools:
            return None
        found += int(words[0]) in waits
    return found


def denied(one: Dependency, error: Denied) -> Gap:
    """Return the gap of a server whose threads may not be looked at."""
    return Gap(
        source=f"/proc/{one.pid}/task",
        reason=f"whether {one.process} works on the application's queries is unknown: {error.reason}",
        hint="run why502 as root, or look at SHOW FULL PROCESSLIST",
    )
