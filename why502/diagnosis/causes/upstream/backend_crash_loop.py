"""The service manager keeps restarting the backend, and it keeps dying.

Requests between an exit and the next start are refused. Requests that are running at the moment of the exit are aborted.

## Do not confuse with
- `backend-startup-failure`: it never starts, and the reason is known.
- `backend-crashed`: it died only once.

## Confirm
- Run `systemctl show -p NRestarts,Result UNIT` twice: the number grows. `supervisorctl status` shows BACKOFF or FATAL. pm2's
  restart counter grows.

## Fix
- Read the last lines of its log for the reason. Stop the loop first (`systemctl stop UNIT`).

## References
- https://www.freedesktop.org/software/systemd/man/systemd.unit.html#StartLimitIntervalSec=interval
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis import absent_gateways, containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.deaths import last_words
from why502.model.container import KUBERNETES
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.remedies.changes import start
from why502.remedies.drop_ins import PAUSE, clear_failures, write_drop_in
from why502.remedies.start_order import start_after_dependency

MANY = 3  # reports of an exit
TWICE = 2  # automatic restarts
RETRY = timedelta(seconds=10)  # a manager may wait that long before the next start


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    hurt = case.failures or any(probe.symptom for probe in case.probes)
    if not hurt and case.target is not None:
        return
    if refusal := absent_gateways.refusing(case):
        message = f"{refusal[0].kind} is restarted because its configuration fails its own test"
        yield refutes(message, str(refusal[1].at or refusal[1].source), 2 * PROOF)
        return
    if reason := _outside(case):
        yield refutes(reason, "access log, journal", 2 * PROOF)
    told: set[str] = set()
    for service in case.services:
        recent = service.changed_at is None or case.here.since is None or service.changed_at >= case.here.since
        if service in case.again_and_again:
            own = last_words(case)
            said = own.message if own else service.reason[-1] if service.reason else ""
            words = f"; its last words: {said}" if said else ""
            message = f"{service.manager} has restarted {service.name} {service.restarts} times{words}"
            if message not in told:  # PM2 has a service for each process of a cluster
                yield supports(message, service.manager, PROOF)
            told.add(message)
        elif service.substate.startswith("auto-restart") and (service.restarts or 0) >= TWICE and recent:
            message = f"{service.manager} waits to start {service.name} again, after {service.restarts} restarts"
            yield supports(message, service.manager, LIKELY)
        elif service.state in ("FATAL", "BACKOFF", "errored"):
            yield supports(f"{service.manager} reports {service.name} as {service.state}", service.manager, PROOF)
    if evidence := _ends_again(case):
        yield evidence
    for event in case.events(Symptom.RESTART_LOOP)[:1]:
        yield supports(event.message, event.source, PROOF)
    loops = case.words(Symptom.RESTART_LOOP)
    deaths = sum(t.count for t in case.words(Symptom.PROCESS_EXITED, Symptom.PROCESS_CRASHED))
    if loops:
        yield supports("its manager reports that it restarts too quickly", loops[0].source, PROOF)
    elif deaths >= MANY or (case.offline and deaths > 1 and sum(t.count for t in case.words(Symptom.PROCESS_STARTED)) > 1):
        yield supports(
            f"its log shows that it exited {deaths} times",
            case.words(Symptom.PROCESS_EXITED, Symptom.PROCESS_CRASHED)[0].source,
            LIKELY,
        )


def _ends_again(case: Case) -> Evidence | None:
    """Return a message that it repeatedly exited without an error and was restarted automatically while requests failed; else "".

    A server that exits after a number of requests (`--limit-max-requests`) also refuses connections until it is started again.
    """
    again = [event for event in case.events(Symptom.PROCESS_STARTED) if event.detail.startswith("Scheduled restart job")]
    first, last = case.first_failure, case.last_failure
    if first is None or last is None:
        return None
    met = [event for event in again if event.at and event.ended_at and event.ended_at >= first and event.at - RETRY <= last]
    count = sum(event.count for event in met)
    if count < TWICE or case.events(Symptom.PROCESS_CRASHED, Symptom.OOM_KILLED) or case.at_start:
        return None
    return supports(f"it exited on its own and was restarted {count} times while requests failed", met[0].source, STRONG)


def _outside(case: Case) -> str:
    """Return the outside reason of its deaths: a request that ends its worker, or a SIGKILL; "" if nothing shows one."""
    if case.killer and not case.restarts and case.events(Symptom.START_FAILED):
        return f"it starts and answers until {case.killer} ends a worker; its master treats that as a failed start"
    if case.killer and not case.restarts and not case.at_start and case.serves_between:
        return f"it starts and answers until the next request to {case.killer} ends it"
    deaths = case.events(Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED)
    own = [event for event in deaths if not case.is_of_a_name(event)]
    killed = [event for event in own if event.symptom is Symptom.PROCESS_CRASHED and event.code == signal.SIGKILL]
    if own and killed == own and not case.at_start:
        return f"each of its {sum(event.count for event in own)} exits was a SIGKILL, which a program does not send to itself"
    return ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: start a unit after what it needs; start one that systemd gave up restarting although it had worked,
    with a pause between restarts and no limit.
    """
    yield from start_after_dependency(case)
    served = case.traffic.last_success if case.traffic else None
    for service in case.services:
        has_served = bool(served and service.started_at and served >= service.started_at.replace(microsecond=0))
        if service.manager != "systemd" or service.is_running is not False or not has_served:
            continue
        forget = clear_failures(service)
        yield Remedy(message=f"start {service.name}, which systemd gave up restarting", steps=(forget, start(service)))
        if steps := write_drop_in(service, "restart", "[Unit]", "StartLimitIntervalSec=0", "[Service]", f"RestartSec={PAUSE}"):
            message = f"start {service.name}, and make systemd restart it {PAUSE} after each crash, without a limit"
            yield Remedy(message=message, steps=(*steps, forget, start(service)))
    own = next((one for service in case.services if (one := containers.of_service(case, service))), None)
    where = f" (`{own.shows('logs')}{' --previous' if own.engine == KUBERNETES else ''}`)" if own else ""
    yield Remedy(message=f"read its last log lines{where} for the reason, because it will die again")


CAUSE = Cause(
    id="backend-crash-loop",
    layer=Layer.UPSTREAM,
    message="the service manager keeps restarting the backend, and it keeps dying",
    headline="the application for {target} keeps dying and being restarted",
    symptoms={Symptom.RESTART_LOOP: LIKELY, Symptom.PROCESS_EXITED: WEAK, Symptom.CONNECT_REFUSED: 0.5},
    needs=frozenset({"services"}),
    explains=frozenset(
        {
            "backend-crashed",
            "backend-not-running",
            "connect-rejected",
            "connect-timeout",
            "connection-reset",
            "deploy-termination-race",
            "dns-host-not-found",
            "host-unreachable",
            "keepalive-race",
            "premature-close",
            "truncated-response",
            "unix-socket-missing",
        }
    ),
    examine=examine,
    remedies=remedies,
)
