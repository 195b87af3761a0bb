"""Control groups of a scene: limits for a backend, of version 1 or 2 (cgroups(7)).

They are named after the scene and removed with it.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
PATIENCE_S = 5.0


@cache
def can_limit() -> bool:
    """Return whether this user may make groups that limit memory and processors, by making one."""
    name = f"why502-lab-{os.getpid()}-try"
    try:
        return bool(make(name, memory=1 << 30, cpu=1.0))
    except OSError:
        return False
    finally:
        remove(name)


def make(name: str, *, memory: int = 0, cpu: float = 0.0, disk: tuple[str, int] = ("", 0)) -> list[Path]:
    """Return the directories of a new group with these limits: bytes, processors, bytes a second from and to a device ("8:0")."""
    device, speed = disk
    if is_v2():
        _write(ROOT / "cgroup.subtree_control", "+memory +cpu" + (" +io" if device else ""))
        directory = ROOT / name
        directory.mkdir(exist_ok=True)
        if memory:
            _write(directory / "memory.max", str(memory))
        if cpu:
            _write(directory / "cpu.max", f"{int(cpu * PERIOD_US)} {PERIOD_US}")
        if device:
            _write(directory / "io.max", f"{device} rbps={speed} wbps={speed}")
        return [directory]
    found = []
    for controller, file, value in (
        ("memory", "memory.limit_in_bytes", str(memory) if memory else ""),
        ("cpu", "cpu.cfs_quota_us", str(int(cpu * PERIOD_US)) if cpu else ""),
        ("blkio", "blkio.throttle.write_bps_device", f"{device} {speed}" if device else ""),
        ("blkio", "blkio.throttle.read_bps_device", f"{device} {speed}" if device else ""),
    ):
        directory = ROOT / controller / name
        if value:
            directory.mkdir(exist_ok=True)
            _write(directory / file, value)
            found.append(directory)
    return list(dict.fromkeys(found))


def enter(name: str, *, memory: int) -> None:
    """Put this process, and what it starts, into a group of that name in every hierarchy that a service manager needs."""
    with suppress(OSError):  # version 2 limits nothing below a group that has processes of its own
        make(name, memory=memory)
    if is_v2():
        (ROOT / name).mkdir(exist_ok=True)
        _write(ROOT / name / "cgroup.procs", str(os.getpid()))
    for hierarchy in ("memory", "cpu", "systemd", "unified"):
        if (ROOT / hierarchy).is_dir():
            directory = ROOT / hierarchy / name
            directory.mkdir(exist_ok=True)
            _write(directory / "cgroup.procs", str(os.getpid()))


def lift(name: str, device: str) -> None:
    """Take the limit on a device away again, so that what waits for it can end."""
    v1 = ROOT / "blkio" / name
    for path, text in (
        (v1 / "blkio.throttle.write_bps_device", f"{device} 0"),
        (v1 / "blkio.throttle.read_bps_device", f"{device} 0"),
        (ROOT / name / "io.max", f"{device} rbps=max wbps=max"),
    ):
        if path.exists():
            _write(path, text)


def thaw(top: Path) -> None:
    """Let the frozen processes in a group of version 1 and below go on: until then the kernel cannot end them."""
    for state in top.glob("**/freezer.state"):
        with suppress(OSError):  # the topmost group has a state that nobody may write
            state.write_text("THAWED")


def remove(name: str) -> None:
    """Remove all groups of that name, with those below them, once their processes are gone."""
    thaw(ROOT / "freezer" / name)
    end = time.monotonic() + PATIENCE_S
    while tops := [path for path in (*ROOT.glob(name), *ROOT.glob(f"*/{name}")) if path.is_dir()]:
        for top in tops:
            for directory, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(directory)
        if time.monotonic() > end:
            return
        time.sleep(0.02)


def is_v2() -> bool:
    """Return whether one hierarchy of version 2 has all controllers."""
    return "memory" in _offered()


def _offered() -> list[str]:
    try:
        return (ROOT / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def _write(path: Path, text: str) -> None:
    path.write_text(text)
