"""The backend cannot bind its port because another process holds it.

The application logs "address already in use" (EADDRINUSE). The proxy's connection is refused, or the other process answers it.

## Do not confuse with
- `proxy-listen-failed`: the proxy's own port is in use.

## Confirm
- `ss -Hltnp 'sport = :PORT'` shows the process that holds the port.

## Fix
- Stop that process (often an older instance of the same application), or move one of them to another port.

## References
- https://man7.org/linux/man-pages/man2/bind.2.html (EADDRINUSE)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    hurt = case.failures or any(probe.symptom for probe in case.probes)
    if not hurt and case.target is not None:
        return
    message = [(e.message, e.source, e.target) for e in case.events(Symptom.ADDRESS_IN_USE)]
    message += [
        (f"its log reports that {t.target or 'its address'} is already in use", t.source, t.target)
        for t in case.words(Symptom.ADDRESS_IN_USE)
    ]
    for words, source, _ in message[:1]:
        yield supports(words, source, PROOF)
        for listener in (*(case.listeners or ()), *case.same_port):
            process = case.process_of(listener)
            if process:
                yield supports(f"{process.name} (pid {process.pid}) holds {listener.target}", "ss -ltnp", WEAK)
                break


CAUSE = Cause(
    id="port-conflict",
    layer=Layer.UPSTREAM,
    message="the backend cannot bind its port because another process holds it",
    headline="the application for {target} cannot bind its address, which another process holds",
    symptoms={Symptom.ADDRESS_IN_USE: LIKELY},
    needs=frozenset({"services", "events"}),
    explains=frozenset(
        {
            "backend-crash-loop",
            "backend-crashed",
            "backend-hung",
            "backend-not-running",
            "backend-startup-failure",
            "backend-too-slow",
            "connection-reset",
            "deploy-termination-race",
            "invalid-response",
            "premature-close",
            "truncated-response",
            "upstream-error-status",
            "wrong-address",
        }
    ),
    examine=examine,
)
