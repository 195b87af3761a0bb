"""The service manager starts it again and again, and it dies again and again.

Requests that meet it between two lives are refused, those that meet it while it dies are broken off.

## Confuse not with
- `backend-startup-failure`: it never comes up; the reason is known.
- `backend-crashed`: it died once.

## Confirm
- `systemctl show -p NRestarts,Result UNIT` twice; `supervisorctl status` says BACKOFF or FATAL; pm2's restart counter grows.

## Fix
- Its own last words name the reason; stop the loop before you look (`systemctl stop UNIT`).

## References
- https://www.freedesktop.org/software/systemd/man/systemd.unit.html#StartLimitIntervalSec=interval
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import LIKELY, PROOF, STRONG, Evidence, Layer, supports
from why502.model.logs import Symptom

MANY = 3


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    hurt = case.failures or any(probe.symptom for probe in case.probes)
    if not hurt and case.target is not None:
        return
    for service in case.services:
        recent = service.changed_at is None or case.here.since is None or service.changed_at >= case.here.since
        if service.restarts is not None and service.restarts >= MANY and recent:
            yield supports(f"{service.manager} has restarted {service.name} {service.restarts} times", service.manager, PROOF)
        elif service.state in ("FATAL", "BACKOFF", "errored"):
            yield supports(f"{service.manager} says {service.state} of {service.name}", service.manager, STRONG)
    for event in case.events(Symptom.RESTART_LOOP)[:1]:
        yield supports(event.says, event.seen_in, PROOF)
    loops = case.words(Symptom.RESTART_LOOP)
    deaths = sum(t.count for t in case.words(Symptom.PROCESS_EXITED, Symptom.PROCESS_CRASHED))
    if loops:
        yield supports("its manager says that it restarts too quickly", loops[0].seen_in, PROOF)
    elif deaths >= MANY or (case.offline and deaths > 1 and sum(t.count for t in case.words(Symptom.PROCESS_STARTED)) > 1):
        yield supports(
            f"its log shows that it ended {deaths} times",
            case.words(Symptom.PROCESS_EXITED, Symptom.PROCESS_CRASHED)[0].seen_in,
            LIKELY,
        )


CAUSE = Cause(
    id="backend-crash-loop",
    layer=Layer.UPSTREAM,
    says="the service manager starts it again and again, and it dies again and again",
    symptoms={Symptom.RESTART_LOOP: LIKELY, Symptom.CONNECT_REFUSED: 0.5},
    yields_to=frozenset({"backend-oom-killed", "port-conflict", "backend-startup-failure"}),
    examine=examine,
)
