"""Workers that the kernel killed and their master replaced: where the kernel's log cannot be joined by process id or group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta

from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.snapshot import Event

SOON = timedelta(seconds=5)  # masters look for dead children each second, some every five
_UID = lazy(r"\bUID:(\d{1,10})\b")  # oom_kill_process() in mm/oom_kill.c


def groups_of_replaced(events: Iterable[Event], processes: tuple[Process, ...]) -> Counter[str]:
    """Return the control groups, as the kernel names them, in which it killed workers of these processes for lack of memory,
    with how many of those were replaced by a worker that still runs.

    In a container of its own process namespace, the kernel's process ids and groups are those of the host. A kill is a worker's
    if its user is the worker's, and the master began a new worker right after it.
    """
    found: Counter[str] = Counter()
    pids = {process.pid for process in processes}
    workers = [process for process in processes if process.ppid in pids and process.started_at is not None]
    for event in events:
        uid = _UID.search(event.detail) if event.symptom is Symptom.OOM_KILLED and event.at is not None and event.cgroup else None
        for worker in workers if uid else ():
            began = worker.started_at
            if uid and event.at and began and worker.uid == int(uid[1]) and event.at <= began <= event.at + SOON:
                found[event.cgroup] += 1
                workers.remove(worker)
                break
    return found
