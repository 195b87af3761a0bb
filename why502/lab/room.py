"""The sandbox of a scene: its own process, as root in new network, mount and process namespaces.

That process is the first of its process namespace (pid_namespaces(7)): when it ends, however it ends, the kernel kills all that
the scene started and drops its mounts and devices. PR_SET_PDEATHSIG (prctl(2)) ends it with us.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from why502.lab import groups, machine
from why502.lab.fault import Fault
from why502.lab.isolation import NAMESPACES, can_isolate
from why502.lab.stage import DISK, LabError, remove

LOUD_S = 2.5  # so long its words in the kernel's log could be taken for those of the next scene
_numbers = count()


@contextmanager
def enter(fault: Fault, *options: str, is_isolated: bool | None = None, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """Yield the process that builds and shows the scene; it does not outlive the block. Options: those of `inside.py`.

    `is_isolated`: in namespaces of its own; None where that is possible.
    """
    alone = can_isolate() if is_isolated is None else is_isolated
    name = f"why502-lab-{os.getpid()}-{next(_numbers)}"
    inside = [sys.executable, "-m", "why502.lab.inside", fault.name, f"--group={name}", *options]
    room = ["setpriv", "--pdeathsig", "KILL", *NAMESPACES] if alone else ["setpriv", "--pdeathsig", "TERM"]
    if fault.needs & {"machine"}:
        room = ["setpriv", "--pdeathsig", "KILL", *machine.NAMESPACES, sys.executable, "-m", machine.__name__, name]
        inside.append("--machine")
    if alone:
        inside.append("--isolated")
    with _turn(fault), _running([*room, *inside], name, alone, **streams) as process:
        yield process


@contextmanager
def _turn(fault: Fault) -> Iterator[None]:
    """Wait until no loud scene runs, and before a loud one until none at all does (flock(2)). They queue at the first lock."""
    with (
        (DISK / f"why502-lab-{os.getuid()}.queue").open("w") as queue,
        (DISK / f"why502-lab-{os.getuid()}.lock").open("w") as lock,
    ):
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if fault.is_loud else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        yield
        if fault.is_loud:
            time.sleep(LOUD_S)


@contextmanager
def _running(argv: list[str], name: str, alone: bool, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, text=True, **streams)
    try:
        yield process
    finally:
        if process.poll() is None:
            if alone:  # unshare(1) ignores all else while it waits
                process.kill()
            else:
                process.terminate()
            process.wait()
        groups.remove(name)
        remove(DISK / name)


def play(fault: Fault, *options: str, is_isolated: bool | None = None, timeout_s: float = 120.0) -> dict[str, Any]:
    """Run a scene and return what came of it: `target` as expected, `statuses` seen, the diagnosis and its exit status.

    Raises LabError when the scene does not show its fault.
    """
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with enter(fault, "--report", *options, is_isolated=is_isolated, **streams) as process:
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{fault.name}: not done within {timeout_s:g} s") from error
    if process.returncode:
        raise LabError(err.strip())
    report: dict[str, Any] = json.loads(out)
    return report


def door(process: subprocess.Popen[str]) -> str:
    """Return the command that enters a running scene; "" where it has no namespaces of its own."""
    if not can_isolate():
        return ""
    while process.poll() is None:
        for pid in _below(process.pid):
            try:
                if os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"):
                    return f"nsenter -t {pid} -a"
            except OSError:
                continue
        os.sched_yield()
    return ""


def _below(pid: int) -> Iterator[int]:
    """Yield the processes below one, nearest first."""
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
        except OSError:
            continue
        found += [int(child) for child in children]
        yield from (int(child) for child in children)
