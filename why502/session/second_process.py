"""A second process that handles every other piece of work, so that two CPUs share it. Unix only: fork(2), pipe(2)."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable

_HEAD = struct.Struct(">QQ")
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of fcntl(2)

Work = Callable[[bytes], tuple[bytes, int]]


class Second:
    """The other process. Take the answer to each piece before you give it the next one."""

    def __init__(self, work: Work) -> None:
        """Start it. `work` returns the answer to a piece and a number; it runs in the child with a copy of the present memory."""
        give_from, self._give = os.pipe()
        self._take, answer_to = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._give)
            os.close(self._take)
            _serve(work, give_from, answer_to)
        os.close(give_from)
        os.close(answer_to)

    def give(self, piece: bytes) -> bool:
        """Give it a piece of work; return False if the process is gone."""
        try:
            _write(self._give, _HEAD.pack(len(piece), 0) + piece)
        except OSError:
            return False
        return True

    def take(self) -> tuple[bytes, int] | None:
        """Return the answer to the last piece; None if the process is gone."""
        try:
            size, number = _HEAD.unpack(_read(self._take, _HEAD.size))
            return _read(self._take, size), number
        except OSError:
            return None

    def end(self) -> None:
        """End it and wait until it is gone."""
        os.close(self._give)
        os.close(self._take)
        os.waitpid(self.pid, 0)


def can_share() -> bool:
    """Return whether there is a second processor, and a way to start a process on it."""
    return hasattr(os, "fork") and hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1


def _serve(work: Work, pieces: int, answers: int) -> None:
    """Answer piece after piece until there are no more; never return."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process gets it too, and ends this one
    try:
        import fcntl

        fcntl.fcntl(answers, _SET_PIPE_SIZE, _PIPE_BYTES)
    except (ImportError, OSError):
        pass
    try:
        while head := os.read(pieces, _HEAD.size):
            size, _ = _HEAD.unpack(head + _read(pieces, _HEAD.size - len(head)))
            answer, number = work(_read(pieces, size))
            _write(answers, _HEAD.pack(len(answer), number))
            _write(answers, answer)
    finally:
        os._exit(0)


def _read(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(descriptor, size)
        if not part:
            raise OSError("the second process is gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
