"""Kills a piece of work at one of its mutating system calls, like SIGKILL or a power loss.

A power loss loses everything that was not synced with fsync(2): file data, and changes of directory entries (created, renamed,
removed).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any


class Loss(StrEnum):
    """What is lost when the work is killed."""

    NOTHING = "killed"
    DATA = "power lost, data not synced gone"
    ALL = "power lost, data and names not synced gone"


class _Machine:
    """Counts the mutating calls of this process, and kills it before one of them."""

    def __init__(self, last: int, loss: Loss) -> None:
        self.last, self.loss, self.count = last, loss, 0
        self.dirty: dict[str, None] = {}
        self.names: list[
            tuple[str, Callable[[], None]]
        ] = []  # the directory, and a function that reverts the change of its entries

    def begin(self) -> None:
        for name in (
            "write",
            "pwrite",
            "fsync",
            "replace",
            "rename",
            "unlink",
            "rmdir",
            "mkdir",
            "fchmod",
            "fchown",
            "setxattr",
            "truncate",
        ):
            self._wrap(os, name, getattr(self, f"_{name}", None))
        self._wrap(os, "open", self._open, lambda args: bool(args[1] & (os.O_CREAT | os.O_TRUNC)))
        self._wrap(subprocess, "run", None)
        self._wrap(signal, "pidfd_send_signal", None)

    def _wrap(
        self, module: Any, name: str, note: Callable[..., None] | None, counts: Callable[[Any], bool] = lambda _: True
    ) -> None:
        real = getattr(module, name)

        def call(*args: Any, **options: Any) -> Any:
            if counts(args):
                self.count += 1
                if self.count == self.last:
                    self._end()
                if note is not None:
                    note(*args, **options)
            return real(*args, **options)

        setattr(module, name, call)

    def _end(self) -> None:
        if self.loss is not Loss.NOTHING:
            for path in self.dirty:
                if Path(path).is_file():
                    Path(path).write_bytes(b"")
        if self.loss is Loss.ALL:
            for _, undo in reversed(self.names):
                undo()
        os.kill(os.getpid(), signal.SIGKILL)

    def _open(self, path: Any, flags: int, mode: int = 0, *, dir_fd: int | None = None) -> None:
        place = _at(path, dir_fd)
        if not place.exists():
            self.names.append((str(place.parent), lambda: place.unlink(missing_ok=True)))

    def _write(self, handle: int, data: Any) -> None:
        self.dirty[os.readlink(f"/proc/self/fd/{handle}")] = None

    def _pwrite(self, handle: int, data: Any, offset: int) -> None:
        self._write(handle, data)

    def _fsync(self, handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        self.dirty.pop(path, None)
        self.names = [change for change in self.names if change[0] != path]

    def _rename(self, source: Any, to: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._replace(_at(source, src_dir_fd), _at(to, dst_dir_fd))

    def _replace(self, source: Any, to: Any) -> None:
        old, new = Path(source), Path(to)
        before = new.read_bytes() if new.exists() else None
        if str(old) in self.dirty:
            self.dirty[str(new)] = self.dirty.pop(str(old))
        self.names.append((str(new.parent), lambda: new.unlink() if before is None else _put(new, before)))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        place = _at(path, dir_fd)
        if place.is_file():
            before = place.read_bytes()
            self.names.append((str(place.parent), lambda: _put(place, before)))


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _at(path: Any, directory: int | None) -> Path:
    name = os.fsdecode(path)
    return (
        Path(os.readlink(f"/proc/self/fd/{directory}"), name) if directory is not None and not os.path.isabs(name) else Path(name)
    )


def killed(work: Callable[[], object], call: int, loss: Loss = Loss.NOTHING) -> bool:
    """Do something in a child process that ends before its mutating call of that number; return whether it reached that call.

    Fails if the work itself fails.
    """
    child = os.fork()
    if child == 0:
        try:
            _Machine(call, loss).begin()
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work failed"
    return os.WIFSIGNALED(status)
