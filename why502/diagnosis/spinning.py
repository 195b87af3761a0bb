"""A single process that computes without end and serves nobody meanwhile."""

from __future__ import annotations

from why502.diagnosis.case import Case
from why502.model.logs import Symptom
from why502.model.request_line import path_of

MANY = 3
BUSY = 0.7  # of the time it computes, or has work and waits for a processor that others use
LONG_S = 5.0  # without any answer


def spins(case: Case) -> str:
    """Return a message that the only process computes without end while it answers and accepts nothing, whatever was requested;
    "" otherwise. A loop or an expression in the only event loop of Node.js or asyncio does that.

    With several processes, another one would answer. One slow request of several paths would be answered now and then.
    """
    kernel = case.host.kernel if case.host else None
    used = kernel.of(case.target, kernel.backend_cpu) if kernel else None
    delayed = (kernel.of(case.target, kernel.backend_kept_waiting) or 0.0) if kernel else 0.0
    waiting = sum(listener.queued or 0 for listener in case.listeners or ())
    if used is None or used + delayed < BUSY or len(case.processes) != 1 or waiting < MANY:
        return ""
    tally, first, answered = case.tally(Symptom.READ_TIMED_OUT), case.first_failure, case.last_answered
    if tally is None or first is None or tally.last is None or (answered is not None and answered >= first):
        return ""
    paths = {path_of(request) for each in case.failures for request, _ in each.requests}
    is_any = len(paths) > 1 or any(p.status is None and not p.first_bytes and not p.repeats for p in case.probes)
    if tally.count < MANY or not is_any or (tally.last - first).total_seconds() < LONG_S:
        return ""
    process = case.processes[0]
    has = f" (it waits for one in {delayed:.0%} of the time)" if used < BUSY else ""
    return (
        f"its only process {process.pid} ({process.name}) uses {used:.0%} of a processor{has}, and since the first of "
        f"{tally.count} timeouts it has answered nothing, whatever was requested; {waiting} connections wait to be accepted"
    )
