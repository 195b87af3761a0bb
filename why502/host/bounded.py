"""A time limit for calls that may hang forever (a dead NFS server, the memory lock of a stuck process)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar, cast

from why502.model.errors import Expired

P = ParamSpec("P")
T = TypeVar("T")

_here = threading.local()
_Answer = SimpleQueue[tuple[bool, Any]]
_Jobs = SimpleQueue[tuple[Callable[[], Any], _Answer] | None]


def bounded(seconds: float, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `call`, or raise its exception. Raises Expired if it takes longer than `seconds`.

    Each calling thread has one worker thread, which makes the calls one after the other. A worker that hangs in the kernel
    cannot
    be interrupted. It is abandoned as a daemon thread, and a new one takes its place.
    """
    worker: _Worker | None = getattr(_here, "worker", None)
    if worker is None:
        worker = _here.worker = _Worker()
    answer: _Answer = SimpleQueue()
    worker.jobs.put((lambda: call(*args, **kwargs), answer))
    try:
        is_well, result = answer.get(timeout=seconds)
    except Empty:
        _here.worker = None
        raise Expired(f"no answer within {seconds:g} s") from None
    if is_well:
        return cast(T, result)
    raise result


class _Worker:
    """The worker thread. It ends after its last job when nothing references this object any more."""

    def __init__(self) -> None:
        self.jobs: _Jobs = SimpleQueue()
        threading.Thread(target=_work, args=(self.jobs,), name="bounded", daemon=True).start()

    def __del__(self) -> None:
        self.jobs.put(None)


def _forget() -> None:
    """Create a new worker in the child of fork(2): only the thread that forked survives there."""
    _here.worker = None


os.register_at_fork(after_in_child=_forget)


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        call, answer = job
        try:
            answer.put((True, call()))
        except BaseException as error:
            answer.put((False, error))
        del job, call, answer
