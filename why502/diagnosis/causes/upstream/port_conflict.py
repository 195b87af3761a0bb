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

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.remedy import Remedy, Run
from why502.remedies.changes import start
from why502.remedies.drop_ins import clear_failures


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
    if not message and (kept_out := containers.kept_out(case)):
        container, process = kept_out
        what = f"{container.shown} should publish port {case.target and case.target.port}, and was never started"
        yield supports(f"{what}: {process.name} (pid {process.pid}) holds that port", container.shows("inspect"), LIKELY)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: end the process that holds the port, and start the service. The purpose of that process is unknown, so
    the user must name this cause.
    """
    service = next((service for service in case.services if service.start_argv), None)
    holder = next((process for process in _holders(case) if service is None or process.unit != service.name), None)
    if service is None or holder is None or holder.container:
        return
    own = "systemctl" in service.start_argv[:1] and holder.unit.endswith(".service") and service.name != holder.unit
    end = (
        Run(argv=("systemctl", "stop", holder.unit), undo=("systemctl", "start", holder.unit))
        if own
        else Run(argv=("kill", "-TERM", str(holder.pid)))
    )
    forget = (clear_failures(service),) if service.manager == "systemd" else ()
    what = holder.unit if own else f"{holder.name} (pid {holder.pid})"
    yield Remedy(
        message=f"stop {what}, which holds the port, and start {service.name}",
        steps=(end, *forget, start(service)),
        is_policy=True,
    )


def _holders(case: Case) -> Iterator[Process]:
    for listener in (*(case.listeners or ()), *case.same_port):
        if process := case.process_of(listener):
            yield process


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
    remedies=remedies,
)
