"""Calls that may hang for ever (a dead NFS server, the memory lock of a stuck process), with an end."""

from __future__ import annotations

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
    """Return what `call` returns, or raise what it raises; Expired when it takes longer than `seconds`.

    A thread of its own makes the calls of each thread, one after the other. One that hangs in the kernel is left behind
    as a daemon, and a new one takes its place: nothing can interrupt it, but nobody waits for it either.
    """
    jobs: _Jobs | None = getattr(_here, "jobs", None)
    if jobs is None:
        jobs = _here.jobs = SimpleQueue()
        threading.Thread(target=_work, args=(jobs,), name="bounded", daemon=True).start()
    answer: _Answer = SimpleQueue()
    jobs.put((lambda: call(*args, **kwargs), answer))
    try:
        is_well, result = answer.get(timeout=seconds)
    except Empty:
        jobs.put(None)
        _here.jobs = None
        raise Expired(f"no answer within {seconds:g} s") from None
    if is_well:
        return cast(T, result)
    raise result


def _work(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        call, answer = job
        try:
            answer.put((True, call()))
        except BaseException as error:
            answer.put((False, error))
        del job, call, answer
