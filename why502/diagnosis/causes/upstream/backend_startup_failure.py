"""The backend cannot start: bad configuration, missing dependency or missing environment variable.

Nothing listens, so connections are refused (502), or the unix socket is never created.

## Do not confuse with
- `port-conflict`: it cannot bind its port.
- `backend-crashed`: it ran and then died.

## Confirm
- `systemctl status UNIT` and `journalctl -u UNIT -n 50` show its last messages. 203/EXEC, 200/CHDIR and 217/USER are systemd's
  own codes.

## Fix
- Fix what its last messages name: install the module, set the variable or correct the file. Then start it.

## References
- https://www.freedesktop.org/software/systemd/man/systemd.exec.html#Process%20Exit%20Codes
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis import absent_gateways
from why502.diagnosis.attribution import GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.routed import BROKEN
from why502.model.container import KUBERNETES
from why502.model.finding import LIKELY, PROOF, STRONG, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Event
from why502.remedies.changes import make_file, start
from why502.remedies.drop_ins import is_masked
from why502.remedies.start_order import start_after_dependency

_EMPTY = "# The unit names this file; the variables it should contain are unknown.\n"

LOOP = 3  # restarts
START_S = 60.0  # in which an application starts, or tries to reach what it needs and gives up
ENGINES = ("docker", "podman", KUBERNETES)
NOT_RUN = (125, 126, 127)  # exit codes of an engine that could not start a container's command (docker-run(1))
SECOND = timedelta(seconds=1)  # logs do not show fractions of it


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    hurt = case.failures or any(probe.symptom for probe in case.probes)
    if (not hurt and case.target is not None) or any(map(_is_looped, case.services)):
        return
    failed = [
        event
        for event in case.events(Symptom.START_FAILED)
        if not _served_since(case, event) and not _says_it_serving(case, event) and not case.is_of_a_past_life(event)
    ]
    began = case.born and case.first_failure and case.born > case.first_failure
    retried = failed or case.at_start
    is_retried = any(event.count >= LOOP and _is_of_now(case, event) for event in retried)  # by a master that listens meanwhile
    is_there = case.listeners and not case.has_left
    if is_there and not is_retried and not (began and case.answers_now is False):  # not while a newer start does not answer
        yield refutes(f"something listens on {case.target}", "ss -ltnx", STRONG)
    if refusal := absent_gateways.refusing(case):
        message = f"{refusal[0].kind} does not start because its configuration fails its own test"
        yield refutes(message, str(refusal[1].at or refusal[1].source), 2 * PROOF)
        return
    for event in failed[:1]:
        yield supports(_own_words(case, event) or event.message, event.source, PROOF)
    if refused := _refused(case):
        who, words, source = refused
        yield supports(f"a gateway should listen there, but does not start: {who}: {words}", source, PROOF)
    at_start = [event for event in case.at_start if not _served_before_it(case, event)]
    for event in at_start[:1] if not failed else ():
        yield supports(f"it exited before it listened: {_own_words(case, event) or event.message}", event.source, PROOF)
    if case.orphans:
        yield refutes(f"a process still listens on {case.target}, whose file was removed", "ss -lx", PROOF)
    for service in case.services if case.told_to_stop is None else ():
        if (
            is_masked(service)
            or _was_stopped(case, service)
            or _has_served(case, service)
            or (case.at_start and not at_start)
            or (service.result == "exit-code" and (service.restarts or 0) >= LOOP)
        ):
            continue  # it did start; or it exits repeatedly, and no known message gives the reason
        if service.is_running is False and service.result in ("exit-code", "resources", "timeout", "protocol") and service.reason:
            yield supports(f"{service.name} could not start: {service.reason[-1]}", service.manager, LIKELY)
            break
        if service.is_running is False and service.manager in ENGINES and (service.result or service.exit_code in NOT_RUN):
            yield supports(
                f"{service.manager} could not start {service.name}: {service.exit_message}", service.manager, 2 * PROOF
            )
            break
        if gave_up := _gave_up(service):
            yield supports(gave_up, service.manager, PROOF)
            break
        if service.is_running is False and service.exit_code in range(200, 245) and service.manager == "systemd":
            yield supports(f"systemd could not start {service.name}: {service.exit_message}", service.manager, PROOF)
            break
    for tally in case.words(Symptom.START_FAILED)[:1]:
        yield supports(
            f"its log gives the reason: {tally.detail}" if tally.detail else "its log reports that it does not start",
            tally.source,
            PROOF,
        )


def _is_looped(service: Service) -> bool:
    """Return whether an engine starts a container again and again: that is a loop, whatever its last words are."""
    return service.manager in ENGINES and not service.is_running and (service.restarts or 0) >= LOOP


def _gave_up(service: Service) -> str:
    """Return a message that a container's last run ended with an error soon after its start; "" otherwise.

    The caller knows that this run served nothing. What ends later, or without a word, may have served before the window.
    """
    began, ended, code = service.started_at, service.stopped_at, service.exit_code
    is_repeated = bool(service.restarts)  # a loop is a cause of its own
    if service.is_running is not False or service.manager not in ENGINES or is_repeated or not code or not (began and ended):
        return ""
    lasted_s = (ended - began).total_seconds()
    if not 0 <= lasted_s <= START_S or not service.reason:
        return ""
    what = f"{service.name} ended {lasted_s:.0f} s after its start with status {code}, and had served nothing"
    return f"{what}: {service.reason[-1]}"


def _own_words(case: Case, event: Event) -> str:
    """Return the last message of the event's unit if the event contains only the manager's view of the exit; "" if unknown."""
    own = [service for service in case.services if service.name == event.unit and service.is_running is False and service.reason]
    is_managers = " process exited" in event.message or "Failed with result" in event.message
    return f"{own[0].name}: {own[0].reason[-1]}" if own and is_managers else ""


def _refused(case: Case) -> tuple[str, str, str] | None:
    """Return the product of the gateway that should listen on the target, its error at the start (preferably about its
    configuration) and the place; None if unknown.
    """
    gateway = case.missing_gateway
    errors = [
        tally
        for symptom in (Symptom.CONFIG_INVALID, Symptom.PROXY_START_FAILED)
        for tally in case.joins.tallies_of(symptom)
        if gateway is not None and tally.proxy == gateway.kind
    ]
    best = max(errors, key=lambda tally: (tally.symptom is Symptom.CONFIG_INVALID, len(tally.detail), tally.count), default=None)
    return (best.proxy or "", best.detail, best.source) if best else None


def _served_since(case: Case, event: Event) -> bool:
    """Return whether the target answered after the reported start failure: then it did start,
    and the message is about a later exit.

    gunicorn reports a worker that failed to boot whenever one exits with status 3.
    """
    served, began, ended = case.last_answered, event.at, event.ended_at
    if served is None or began is None or ended is None:
        return False
    broken = max((tally.last for tally in case.tallies if tally.symptom in BROKEN and tally.last), default=None)
    if case.killer and _is_of_gunicorn(event):
        return True
    if (
        broken is None
        and case.born
        and case.born < began
        and served >= began.replace(microsecond=0) + SECOND
        and not case.probe(*GAP)
    ):
        return True  # a run older than the event kept answering and broke no connection: the error occurs at run time
    is_between = event.count > 1 and broken is not None and min(served, broken) > began + SECOND
    return served > ended + SECOND or is_between


def _says_it_serving(case: Case, event: Event) -> bool:
    """Return whether the listening process reports this while it serves other requests: one page needs a missing module."""
    served = case.traffic.last_success if case.traffic else None
    listening = {pid for one in case.listeners or () for pid in one.pids}
    return event.pid in listening and served is not None and event.at is not None and served > event.at


def _is_of_gunicorn(event: Event) -> bool:
    """Return whether the log shows only that a worker exited with status 3: gunicorn uses it for workers that fail to boot."""
    return "HaltServer" in event.detail or "WORKER_BOOT_ERROR" in event.detail or "self.halt(" in event.detail


def _is_of_now(case: Case, event: Event) -> bool:
    """Return whether the failed start is not older than the failed requests."""
    last = case.last_failure
    return event.ended_at is not None and last is not None and event.ended_at >= last - SECOND


def _was_stopped(case: Case, service: Service) -> bool:
    """Return whether a service's last run ended by order: a stop that takes too long has the result "timeout", as a start has."""
    orders = [
        event.ended_at
        for event in case.events(Symptom.PROCESS_STOPPED)
        if event.unit == service.name and event.detail.startswith("Stopping ") and event.ended_at
    ]
    return bool(orders) and service.started_at is not None and max(orders) > service.started_at


def _served_before_it(case: Case, death: Event) -> bool:
    """Return whether a process that ended at its start had the last words of an earlier one, which served until then: a request
    kills it, not its start.
    """
    before = [event.at for event in case.events(Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED) if event not in case.at_start]
    words = [event for event in case.events(Symptom.APPLICATION_ERROR) if event.count > 1 and event.at and event.ended_at]
    return any(
        death.ended_at is not None
        and abs(one.ended_at - death.ended_at) <= SECOND
        and any(at is not None and abs(one.at - at) <= SECOND for at in before)
        for one in words
        if one.at and one.ended_at
    )


def _has_served(case: Case, service: Service) -> bool:
    """Return whether one of its targets answered, or held a connection that broke, during the service's last run:
    then it did start.
    """
    cut = [t for target in service.targets for t in case.joins.tallies.get(target, ()) if t.symptom in BROKEN]
    broken = [at for t in cut for at in (t.first, t.last)]
    is_its_own = service.result == "exit-code"  # systemd ends one that never reports its readiness, though it may answer
    success = case.last_answered if is_its_own else case.traffic.last_success if case.traffic else None
    served = max((at for at in (success, *broken) if at is not None), default=None)
    if served is None or service.started_at is None or case.at_start:
        return False
    return served >= service.started_at.replace(microsecond=0)


def summarize(case: Case) -> str:
    """Return the finding about a gateway that should listen on the target in one sentence; "" for any other application."""
    refused = _refused(case)
    return f"{refused[0]}, the gateway that should listen on {case.target}, does not start: {refused[1]}" if refused else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: for a unit that started before what it needs, and for a missing EnvironmentFile of a unit (create it
    empty, and start the unit).
    """
    yield from start_after_dependency(case)
    for service in case.services:
        paths = [path for path in service.settings.get("EnvironmentFileMissing", "").split() if path.startswith("/")]
        if service.is_running is False and service.manager == "systemd" and paths:
            made = tuple(make_file(path, _EMPTY) for path in paths)
            message = (
                f"create {' and '.join(paths)}, which {service.name} requires (empty: add the variables it needs), and start it"
            )
            yield Remedy(message=message, steps=(*made, start(service)))


CAUSE = Cause(
    id="backend-startup-failure",
    layer=Layer.UPSTREAM,
    message="the backend cannot start: bad configuration, missing dependency or missing environment variable",
    headline="the application for {target} does not start",
    symptoms={Symptom.START_FAILED: LIKELY, Symptom.PROCESS_EXITED: 1.5},
    # For a master whose workers do not start, or for an error during a stop.
    needs=frozenset({"services", "events"}),
    outranks=frozenset({"backend-hung", "backend-too-slow", "connection-reset", "premature-close", "workers-exhausted"}),
    explains=frozenset(
        {
            "backend-crash-loop",
            "backend-crashed",
            "backend-not-running",
            "connect-timeout",
            "deploy-termination-race",
            "dns-host-not-found",
            "host-unreachable",
            "premature-close",
            "unix-socket-missing",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
