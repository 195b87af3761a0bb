"""Reader processes, forked before the input is known: they load the kernel while the first process examines the files.

One of them forks the others when it has the kernel, takes what they counted, and hands over the sum. All end when who forked them does.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import pickle
import select
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from why502.logs.scan.counts import Counts
    from why502.logs.scan.part import Session
    from why502.logs.scan.work import Ask, Part, Read

_POLL_MS = 100
_BLOCK = 1 << 20
SMALL_BYTES = 24 << 20  # so much is read before other processes would be running
CAN_FORK = hasattr(os, "memfd_create")  # Linux


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plain_bytes(paths: Iterable[str]) -> int:
    """Return how much there is to read in files and directories, as far as that is told at once."""
    found = 0
    for path in paths:
        try:
            names = [entry.path for entry in os.scandir(path)] if os.path.isdir(path) else [path]  # noqa: PTH112 - quick to import
            found += sum(os.stat(name).st_size for name in names if not name.endswith((".gz", ".bz2", ".xz", ".zst")))  # noqa: PTH116
        except OSError:
            continue
    return found


class Readers:
    """So many processes, each for a processor."""

    def __init__(self, jobs: int, *, is_fast: bool = True) -> None:
        self._is_done = self._is_started = False
        self._shared = _Shared(jobs)
        order, self._order = os.pipe()
        self._answer, answer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._order)
            os.close(self._answer)
            _guarded(lambda: _lead(jobs, self._shared, order, answer, is_fast=is_fast))
        os.setpgid(self.pid, self.pid)  # as it does itself: whoever is first
        os.close(order)
        os.close(answer)

    def start(self, parts: Sequence[Part], ask: Ask) -> None:
        """Let them read."""
        self._is_started = True
        with contextlib.suppress(BrokenPipeError):  # `result` tells that nobody is there
            _send(self._order, (parts, ask))

    def result(self, told: Callable[[int], bool]) -> tuple[list[Read], Counts] | None:
        """Return what is told of each part, and the sum; None where there is too much to tell apart. Raises Why502Error.

        `told` is called with the bytes read since, and returns whether to stop.
        """
        answer, seen = bytearray(), 0
        poll = select.poll()
        poll.register(self._answer)
        while True:
            if poll.poll(_POLL_MS):
                if not (block := os.read(self._answer, _BLOCK)):
                    break
                answer += block
            now = self._shared.read()
            if told(now - seen):
                self._shared.stop()
            seen = now
        if not answer:
            from why502.model.errors import Why502Error

            raise Why502Error("a log reader process was killed", "Free some memory, or use --jobs 1.")
        self._is_done = True
        found: tuple[list[Read], Counts] | None = pickle.loads(answer)  # noqa: S301 - of a process of ours
        return found

    def close(self) -> None:
        """End all processes."""
        if self.pid:
            if not self._is_done:
                os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0
            os.close(self._answer)
            self._shared.close()
            if not self._is_started:
                os.close(self._order)


class _Shared:
    """Memory that all processes share: how many bytes each has read, how many parts were begun, and whether to stop."""

    def __init__(self, jobs: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (jobs + 2))).cast("Q")
        self._lock = os.memfd_create("parts")

    def next(self) -> int:
        """Return the number of a part that nobody has begun."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        number = self._cells[-2]
        self._cells[-2] = number + 1
        fcntl.lockf(self._lock, fcntl.LOCK_UN)
        return number

    def close(self) -> None:
        """Forget it, in this process."""
        os.close(self._lock)

    def add(self, job: int, size: int) -> None:
        """Count bytes."""
        self._cells[job] += size

    def read(self) -> int:
        """Return how many bytes all have read."""
        return sum(self._cells[:-2])

    def stop(self) -> None:
        """Ask all to stop."""
        self._cells[-1] = 1

    def is_over(self) -> bool:
        """Return whether to stop."""
        return bool(self._cells[-1])


def _guarded(work: Callable[[], None]) -> NoReturn:
    """Do the work of a forked process, and end it."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _lead(jobs: int, shared: _Shared, order: int, answer: int, *, is_fast: bool) -> None:
    os.setpgid(0, 0)
    leader = os.getppid()
    from why502.logs.scan import kernel
    from why502.logs.scan.work import Crowded

    if is_fast:
        kernel.prepare()
    if not (ordered := b"".join(_blocks(order))):
        return
    parts, ask = pickle.loads(ordered)  # noqa: S301
    others = [_follow(job, parts, ask, shared) for job in range(1, min(jobs, len(parts)))]
    try:
        read, session = _work(0, parts, ask, shared, leader)
        for _, pipe in others:
            if not (answered := b"".join(_blocks(pipe))):
                return  # it was killed
            if (its := pickle.loads(answered)) is None:  # noqa: S301
                raise Crowded
            read += its[0]
            session.absorb(*its[1:])
        result = pickle.dumps((read, session.total()), pickle.HIGHEST_PROTOCOL)
    except Crowded:
        result = pickle.dumps(None)
        for pid, _ in others:
            os.kill(pid, signal.SIGKILL)
    _write(answer, result)
    os.close(answer)
    for pid, _ in others:
        os.waitpid(pid, 0)


def _follow(job: int, parts: Sequence[Part], ask: Ask, shared: _Shared) -> tuple[int, int]:
    """Fork another reader; return its process and the pipe that it answers to."""
    from why502.logs.scan.work import Crowded

    mine, its = os.pipe()
    leader = os.getpid()
    if pid := os.fork():
        os.close(its)
        return pid, mine

    def work() -> None:
        try:
            read, session = _work(job, parts, ask, shared, leader)
            _send(its, (read, *session.pack()))
        except Crowded:
            _send(its, None)

    _guarded(work)


def _work(job: int, parts: Sequence[Part], ask: Ask, shared: _Shared, leader: int) -> tuple[list[Read], Session]:
    """Read the next part that nobody reads yet, until there is none."""
    from why502.logs.scan.part import Session
    from why502.logs.scan.work import Read

    def told(size: int) -> None:
        shared.add(job, size)
        if shared.is_over() or os.getppid() != leader:
            raise KeyboardInterrupt

    session = Session(ask)
    read = []
    while not session.counts.is_partial and (at := shared.next()) < len(parts):
        if shared.is_over():
            session.counts.is_partial = True
            break
        read.append(Read(at, *session.read(parts[at], told)))
    return read, session


def _send(pipe: int, value: Any) -> None:
    _write(pipe, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    os.close(pipe)


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _blocks(pipe: int) -> Iterable[bytes]:
    return iter(lambda: os.read(pipe, _BLOCK), b"")
