"""Checks before a program is run, a process signalled or a file edited: who else could change the program,
the configuration or the command line.

The whole plan is checked before anything starts. Each command and each file is checked again right before its use: file owners
may have changed since the journal was written, and an undo may come days later.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from why502.fix.plan import Plan
from why502.host import trust
from why502.host.base import Host
from why502.host.nowhere import NowhereHost
from why502.model.errors import HostError, Why502Error
from why502.model.proxy import Proxy

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PERMISSIONS = ("chown", "chgrp", "chmod", "setfacl")  # commands that are given an open descriptor of the file they change
_LABELS = (
    "semanage",
    "restorecon",
    "setsebool",
)  # for path patterns; they only set what the policy prescribes
_END_S = 10.0
_STARTED_S = 1.0  # the times in /proc/PID/stat are in clock ticks, and the boot time is rounded
_HINT = "Nothing was changed. Make root the owner of it and its directories, or run this as their owner."


def refusal(plan: Plan, host: Host) -> tuple[str, str] | None:
    """Return why we do not apply a plan, and what to do instead; None if we may, or if the plan is for another machine."""
    if isinstance(host, NowhereHost):
        return None
    try:
        if plan.proxy is not None and (plan.edits or _concerns(plan)):
            _proxy(plan.proxy)
        for change in plan.edits:
            file(change.file)
        for run in plan.runs:
            if run.argv[0] != "kill":
                command(run.argv)
    except Why502Error as error:
        return error.message, error.hint
    return None


def _concerns(plan: Plan) -> bool:
    """Return whether a plan runs the proxy's own program."""
    return any(plan.proxy is not None and run.argv[0] == plan.proxy.exe for run in plan.runs)


def _proxy(proxy: Proxy) -> None:
    """Raise Why502Error if others could change what a proxy runs or reads, or if the proxy belongs to another user."""
    name = f"{proxy.kind} (process {proxy.pid})" if proxy.pid else proxy.kind
    if proxy.pid:
        owner = _owner(proxy.pid)
        if owner is not None and owner not in trust.trusted_users() and not _is_of_system(proxy.pid, proxy.unit):
            raise Why502Error(f"{name} runs as user {owner}, and why502 does not change it as root", f"Run this as user {owner}.")
        if owner == 0 and os.geteuid() != 0:
            raise Why502Error(f"{name} is root's, and you are user {os.geteuid()}", "Nothing was changed. Run it as root.")
    for path in dict.fromkeys((proxy.exe, proxy.config, *(one.path for one in proxy.files))):
        if path:
            _trusted(path, f"{name}: ")
    if proxy.pid_file and os.path.lexists(proxy.pid_file):
        _trusted(proxy.pid_file, f"{name}: ")


def _is_of_system(pid: int, unit: str) -> bool:
    """Return whether a process belongs to that unit of root's service manager, which gave it its user (Caddy's, for example).

    No other user can put a process into its control group. [cgroups(7)]
    """
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return unit.endswith(".service") and is_group_of(lines, unit)


def is_group_of(lines: Iterable[str], unit: str) -> bool:
    """Return whether the lines of /proc/PID/cgroup name a unit of root's own manager.

    Only root creates groups outside of a service; below one (`user@1000.service`, `Delegate=`) its user may, with any names. So
    all groups above the unit's, from `system.slice` on, must be slices, and none above that a service.
    """
    paths = [line.split(":", 2)[2].split("/") for line in lines if line.count(":") > 1]
    return any(
        path[-1] == unit
        and "system.slice" in path
        and all(group.endswith(".slice") for group in path[path.index("system.slice") : -1])
        and not any(group.endswith(".service") or group == "user.slice" for group in path[:-1])
        for path in paths
    )


def _owner(pid: int) -> int | None:
    """Return the user a process may act for: the first of its four user ids that is not root; None if the process is gone."""
    try:
        return max(trust.users(pid), key=bool)  # root owns /proc/PID if the process may not be traced
    except HostError:
        return None


def file(path: str) -> None:
    """Raise Why502Error if others could change a file that is to be written, or replace it."""
    _trusted(path, missing=True)


def command(argv: tuple[str, ...]) -> None:
    """Raise Why502Error if others could change a program that is to be run, or a file that its arguments name."""
    program = argv[0] if "/" in argv[0] else shutil.which(argv[0], path=f"{PATH}:{os.environ.get('PATH', '')}")
    if program is not None:
        _trusted(program, missing=True)  # a missing program fails with its own error when it is run
    if argv[0] in (*_LABELS, *PERMISSIONS, "kill"):
        return
    if argv[0] == "runuser" and argv[3:5] == ("--", "test"):  # it only looks, with the rights of that user
        return
    for word in argv[1:]:
        path = word[word.find("=/") + 1 :] if "=/" in word and word.startswith("-") else word
        if path.startswith("/"):
            _trusted(path, missing=True)


def _trusted(path: str, about: str = "", *, missing: bool = False) -> None:
    try:
        reason = trust.stranger(path, missing=missing)
    except HostError as error:
        raise Why502Error(f"{about}{error.reason}", error.hint or _HINT) from error
    if reason:
        raise Why502Error(f"{about}{reason}", _HINT)


@contextmanager
def pinned(argv: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield a command that changes permissions, its path replaced by an open descriptor, so that it changes the file that was
    checked.

    Raises Why502Error if the path is a link, or a file with several names in a directory that others can change.
    """
    if argv[0] not in PERMISSIONS or not argv[-1].startswith("/"):
        yield argv
        return
    directory, last = os.path.split(argv[-1].rstrip("/"))
    try:
        with trust.walked(directory or "/") as above:
            handle = os.open(last or ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above.descriptor)
            is_strange = bool(above.stranger())
        try:
            seen = os.fstat(handle)
            if stat.S_ISLNK(seen.st_mode):
                raise Why502Error(f"{argv[-1]} is a link", "Nothing was changed there.")
            if is_strange and not stat.S_ISDIR(seen.st_mode) and seen.st_nlink > 1:
                raise Why502Error(
                    f"{argv[-1]} has {seen.st_nlink} names, and other users could have created them", "Change it manually."
                )
            end = "/." if stat.S_ISDIR(seen.st_mode) else ""
            yield (*argv[:-1], f"/proc/{os.getpid()}/fd/{handle}{end}")
        finally:
            os.close(handle)
    except HostError as error:
        raise Why502Error(error.reason, error.hint or "Nothing was changed there.") from error
    except OSError as error:
        raise Why502Error(f"{argv[-1]}: {(error.strerror or str(error)).lower()}", "Nothing was changed there.") from error


def _catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal, or reads it itself (proc_pid_status(5))."""
    with open(f"/proc/{pid}/status") as status:
        masks = dict(line.split(":", 1) for line in status if line.startswith("Sig"))
    return any(int(masks.get(name, "0"), 16) >> (number - 1) & 1 for name in ("SigCgt", "SigBlk", "SigIgn"))


def send(argv: tuple[str, ...], since: datetime | None) -> None:
    """Send SIGNAL to the intended process: the one that had this pid at `since`. Raises Why502Error.

    After SIGTERM it waits until the process has ended. A signal that a proxy or a pool acts on is sent only to a trusted program
    of a trusted user. CONT and STOP, which programs do not handle, may also go to a backend of another user.
    """
    number, pid = getattr(signal.Signals, f"SIG{argv[1].removeprefix('-')}"), int(argv[2])
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        raise Why502Error(f"process {pid}: {(error.strerror or str(error)).lower()}", "It has exited in the meantime.") from error
    try:
        if since is not None and _started(pid) > since.timestamp() + _STARTED_S:
            raise Why502Error(f"process {pid} is now a different process", "No signal was sent to it.")
        if number in (signal.SIGCONT, signal.SIGSTOP):
            signal.pidfd_send_signal(handle, number)
        else:
            with trust.process(pid) as checked:
                if number not in (signal.SIGTERM, signal.SIGKILL) and not _catches(pid, number):
                    raise Why502Error(
                        f"process {pid} does not handle SIG{argv[1].removeprefix('-')}, which would end it", "No signal was sent."
                    )
                signal.pidfd_send_signal(checked, number)
            if number == signal.SIGTERM and not select.select([handle], [], [], _END_S)[0]:
                raise Why502Error(f"process {pid} has not ended {_END_S:g} s after SIGTERM", "See what it waits for.")
    except HostError as error:
        raise Why502Error(error.reason, error.hint or "No signal was sent to it.") from error
    except OSError as error:
        raise Why502Error(f"process {pid}: {(error.strerror or str(error)).lower()}", "No signal was sent to it.") from error
    finally:
        os.close(handle)


def _started(pid: int) -> float:
    """Return when a process started, in seconds since the epoch (proc_pid_stat(5), field 22; proc_stat(5), btime).

    Raises OSError.
    """
    with open(f"/proc/{pid}/stat", "rb") as seen, open("/proc/stat", "rb") as machine:
        ticks = int(seen.read(4096).rpartition(b")")[2].split()[19])
        boot = next(int(line.split()[1]) for line in machine if line.startswith(b"btime "))
    return boot + ticks / os.sysconf("SC_CLK_TCK")
