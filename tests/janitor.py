"""Kills the processes that a test run leaves behind, however the run itself ends, even by SIGKILL."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GRACE_S = 5.0  # for processes that are ending
PATIENCE_S = 10.0


def main() -> int:
    """Return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    directories = [line.strip() for line in sys.stdin if line.startswith("/")]
    said: dict[int, str] = {}
    begin, ends = time.monotonic() + GRACE_S, time.monotonic() + PATIENCE_S
    while time.monotonic() < begin and any(True for _ in left_behind(directories)):
        time.sleep(0.05)
    while (found := list(left_behind(directories))) and time.monotonic() < ends:
        for pid in found:
            said.setdefault(pid, title(pid))
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for directory in directories[:1]:
        shutil.rmtree(directory, ignore_errors=True)
    for pid, name in said.items():
        sys.stderr.write(f"left behind by the tests: {pid} {name}\n")
    return 1 if said else 0


def left_behind(directories: list[str]) -> Iterator[int]:
    """Yield the processes that belong to one of the directories, and all their descendants;
    not those that have ended and wait to be reaped.
    """
    parents = {int(path.name): parent for path in Path("/proc").iterdir() if path.name.isdigit() for parent in _parent(path)}
    own = {pid for pid in parents if pid != os.getpid() and any(_belongs(pid, directory) for directory in directories)}
    for pid in parents:
        above = pid
        while above in parents and above not in own:
            above = parents[above]
        if above in own and pid != os.getpid():
            yield pid


def _parent(path: Path) -> Iterator[int]:
    with suppress(OSError, IndexError, ValueError):
        state, parent, *_ = (path / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if state != "Z":
            yield int(parent)


def _belongs(pid: int, directory: str) -> bool:
    seen = [title(pid)]
    with suppress(OSError):
        seen.append(os.readlink(f"/proc/{pid}/cwd"))
        seen += [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return any(f"{directory}/" in f"{text}/" or f"{directory} " in text for text in seen)


def title(pid: int) -> str:
    """Return the command line of a process; "" if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    return ""


if __name__ == "__main__":
    sys.exit(main())
