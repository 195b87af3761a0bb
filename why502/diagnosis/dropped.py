"""Requests that the application breaks off with an error of its own, and lives on: Go's net/http closes the connection of a
handler that panics, and so do servers that cannot turn an exception into a response.
"""

from __future__ import annotations

from datetime import timedelta

from why502.diagnosis.case import Case
from why502.model.logs import Symptom
from why502.model.snapshot import Event

_BROKEN = (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER)
_SHARE = 0.5  # of the requests that broke off must have an error of the application
_CLOCK = timedelta(seconds=1)


def dropped(case: Case) -> tuple[Event, int, int] | None:
    """Return the last error of the application about these requests, the number of its errors and of the requests; None if the
    requests broke off for another reason, or if that is unknown.

    The process that reports them still listens, and it began before the first of them.
    """
    broken = [tally for tally in case.failures if tally.symptom in _BROKEN]
    count = sum(tally.count for tally in broken)
    first = min((tally.first for tally in broken if tally.first), default=None)
    last = max((tally.last for tally in broken if tally.last), default=None)
    if first is None or last is None:
        return None
    listening = {pid for listener in case.listeners or () for pid in listener.pids}
    alive = {p.pid: p.started_at for p in case.processes if p.pid in listening and p.started_at is not None}
    errors = [
        event
        for event in case.events(Symptom.APPLICATION_ERROR)
        if event.at is not None and event.pid in alive and alive[event.pid] < event.at
        if event.at <= last + _CLOCK and (event.ended_at or event.at) >= first - _CLOCK
    ]
    told = sum(event.count for event in errors)
    return (errors[-1], min(told, count), count) if errors and told >= _SHARE * count else None
