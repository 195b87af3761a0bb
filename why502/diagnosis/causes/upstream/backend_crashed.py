"""The backend process died (signal, abort, unhandled exception) while it held the connection.

The connection is closed or reset in the middle of a request (502). Later requests are refused until the process is started again.

## Do not confuse with
- `backend-oom-killed`: the kernel killed it for memory.
- `worker-timeout`: its own master process killed it.
- `backend-not-running`: it was not running in the first place.

## Confirm
- `journalctl -u UNIT` shows "Main process exited, code=killed, status=11/SEGV". See also `journalctl -k -g segfault` and
  `coredumpctl`.

## Fix
- Keep the stack trace, and report or fix the bug. Let the service manager restart the process (Restart=on-failure).

## References
- https://www.freedesktop.org/software/systemd/man/systemd.exec.html#Process%20Exit%20Codes
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.deaths import is_bare, last_words, weigh_death
from why502.diagnosis.place import proof_of
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom, Tally
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Event
from why502.remedies.drop_ins import restart_remedies

CLOCK = timedelta(seconds=1)  # log times are cut to whole seconds; a process's start is accurate to 0.01 s

KILL = timedelta(seconds=2)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.told_to_stop is not None:
        stop = case.told_to_stop
        yield refutes(f"it did not crash, it was stopped: {stop.message}", stop.source, PROOF)
        return
    if case.at_start and not [event for event in case.events(Symptom.PROCESS_CRASHED) if event not in case.at_start]:
        death = case.at_start[0]
        yield refutes(f"no request killed it: it exited before it listened: {death.message}", death.source, PROOF)
        return
    hosted, killed = case.hosted_break, case.tally(Symptom.PROXY_WORKER_DIED)
    if hosted is not None and killed is not None:
        message = (
            f"{hosted.count} requests to a daemon that {hosted.proxy} runs broke off, and {killed.count} of its processes "
            "were killed by a signal"
        )
        yield supports(f"{message}: {killed.samples[0].text[:200]}" if killed.samples else message, killed.source, PROOF)
    broken = case.tally(Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY)
    refused = case.tally(Symptom.CONNECT_REFUSED)
    if broken is None and refused is None and case.gone is None and case.target is not None:
        return
    ends = [event.at for event in case.events(Symptom.PROCESS_STOPPED) if event.at and "timed out. Killing" in event.message]
    events = [
        event
        for event in case.events(Symptom.PROCESS_CRASHED)
        if not any(event.at and end <= event.at <= end + KILL for end in ends)  # systemd killed it after the stop timeout
        and not (
            case.restarts and case.is_of_a_name(event)
        )  # the kernel log covers all programs here, and in containers on this machine
    ]
    words = case.words(Symptom.PROCESS_CRASHED)
    if events:
        death = min(events, key=case.is_of_a_name)  # one that is known to be the target's comes first
        yield weigh_death(case, death, _said(case, death))
    elif words and (broken or refused or case.target is None):
        told = words[0].detail or words[0].symptom.value
        if case.is_named_by(words[0]):
            yield supports(f"its log reports that it died: {told}", words[0].source, PROOF)
        else:
            yield supports(f"a log reports that {words[0].process or 'a process'} died: {told}", words[0].source, LIKELY)
    elif case.offline and (broken or refused or case.target is None) and (ended := _ended_alive(case)):
        yield supports(f"its manager reports that it exited on its own, and restarted it: {ended.detail}", ended.source, FAIR)
    for service in case.services:
        if service.signal is not None and not service.oom_killed:
            yield supports(
                f"{service.manager} reports that {service.name} died by {service.exit_message or service.signal}",
                service.manager,
                proof_of(service),
            )
            break
        if broken and _has_ended_badly(service) and not _failed_to_start(case, service):
            yield supports(
                f"connections broke, and {service.manager} reports that {service.name} {service.exit_message or 'ended'}",
                service.manager,
                LIKELY,
            )
            break
    if broken and not events and not words and (again := case.began_again):
        yield supports(f"connections broke, and {again.manager} has started {again.name} again by itself", again.manager, LIKELY)
    if (stopped := case.stopped_in_order) and not events and not words:
        yield refutes(f"{stopped.manager} reports that {stopped.name} was stopped cleanly", stopped.manager, PROOF)
    if broken and case.gone is not None and case.gone.exit_code and not case.gone.oom_killed:
        message = (
            f"connections broke, then got no answer: {case.gone.manager} reports that {case.gone.name} {case.gone.exit_message}"
        )
        yield supports(message, case.gone.manager, STRONG)
    if broken and refused and refused.last and broken.first and refused.last >= broken.first and case.listeners == ():
        # A service manager logs each death. If it logged none, the process was stopped, or exited without an error.
        is_untold = case.has_systemd and not case.deaths_at_break(Symptom.PROCESS_CRASHED, Symptom.OOM_KILLED)
        weight = WEAK if is_untold and not events and not words else STRONG
        yield supports(
            "connections broke first, then they were refused, and nothing listens now: the process is gone", broken.source, weight
        )
    if case.killer and not case.reloads and (dead := _died(case)):
        yield supports(f"requests to {case.killer} broke while other paths were answered, and {dead}", "access log, ps", STRONG)
    elif case.killer and not case.restarts and (exits := case.events(Symptom.PROCESS_EXITED)):
        message = f"requests to {case.killer} broke while other paths were answered, and its manager reported: {exits[0].message}"
        yield supports(message, exits[0].source, PROOF)
    elif case.killer and not case.restarts and case.serves_between:
        often = case.again_and_again
        how = f"{often[0].manager} has restarted {often[0].name} {often[0].restarts} times"
        reason = _last_of(case, often[0])
        message = f"requests to {case.killer} broke while other paths were answered, and {how}"
        message += f"; its last words: {reason}" if reason else ""
        yield supports(message, often[0].manager, PROOF)
    if broken and case.first_failure and not case.restarts and not case.reloads:
        for listener in case.listeners or ():
            process = case.process_of(listener)
            if process and process.started_at and process.started_at > case.first_failure + CLOCK:
                yield supports(
                    f"{process.name} was restarted at {process.started_at:%H:%M:%S}, after the first failure", "ps", FAIR
                )
                break
            young = [p for p in case.processes if p.started_at and p.started_at > case.first_failure + CLOCK]
            if young:
                yield supports(f"a worker was restarted at {young[0].started_at:%H:%M:%S}, after the first failure", "ps", WEAK)
                break


def _said(case: Case, death: Event) -> str:
    """Return how a process died: in its own words, if the report of its death has no reason."""
    words = last_words(case) if is_bare(death) else None
    return f"{words.message} ({death.message})" if words else death.message


def _last_of(case: Case, service: Service) -> str:
    """Return the last words of a service before it was started again; "" if unknown."""
    own = last_words(case)
    return own.message if own else service.reason[-1] if service.reason else ""


def summarize(case: Case) -> str:
    """Return the finding in one sentence if one request is known to end the process: with it, and with the error."""
    ends = case.events(Symptom.PROCESS_CRASHED) or case.events(Symptom.PROCESS_EXITED)
    if case.target is not None and case.killer and not ends and case.serves_between and not case.restarts:
        reason = _last_of(case, case.again_and_again[0])
        return f"{case.killer} ends the process behind {case.target} each time{f': {reason}' if reason else ''}"
    if case.target is None or not case.killer or not ends:
        return ""
    return f"{case.killer} ends the process behind {case.target}: {_said(case, ends[0])}"


def _has_ended_badly(service: Service) -> bool:
    """Return whether a service ran and ended with an error: a container that was only made has a status of its engine."""
    return service.is_running is False and service.exit_code not in (None, 0) and service.state not in containers.UNSTARTED


def _failed_to_start(case: Case, service: Service) -> bool:
    """Return whether a service reported since it was last started that it cannot start: that is why it ended."""
    began = service.started_at
    return any(began and event.ended_at and event.ended_at >= began for event in case.events(Symptom.START_FAILED))


def _died(case: Case) -> str:
    """Return a message that an older master restarted all its workers since the first failure; "" if one worker is older."""
    first = case.first_failure
    owners = {pid for listener in case.listeners or () for pid in listener.pids}
    masters = [
        p for p in case.processes if p.pid in owners and p.ppid not in owners and p.started_at and first and p.started_at < first
    ]
    workers = [p for p in case.processes if p.ppid in {master.pid for master in masters}]
    if not workers or not first or not all(p.started_at and p.started_at > first + CLOCK for p in workers):
        return ""
    return f"all {len(workers)} workers have been restarted since" if workers[1:] else "its worker has been restarted since"


def _ended_alive(case: Case) -> Tally | None:
    """Return the events of a program that exited with an error, if its manager also reported its start."""
    started = {(tally.process, tally.unit) for tally in case.words(Symptom.PROCESS_STARTED)} - {("", "")}
    return next((tally for tally in case.words(Symptom.PROCESS_EXITED) if (tally.process, tally.unit) in started), None)


def _lives(case: Case, service: Service) -> bool:
    """Return whether the main process of a service is older than the failures: then only a child process died."""
    main = next((process for process in case.processes if process.pid == service.main_pid), None)
    began, first = main.started_at if main else None, case.first_failure
    return bool(service.is_running and began and first and began < first - CLOCK)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: start the service again if it is known, and have systemd restart it in the future."""
    for service in case.services:
        if not _lives(case, service):  # if only a child process died, its manager has nothing to restart
            yield from restart_remedies(service, is_failure=True)
        yield Remedy(message="keep the stack trace and fix the bug: it will crash again")


CAUSE = Cause(
    id="backend-crashed",
    layer=Layer.UPSTREAM,
    message="the backend process died (signal, abort, unhandled exit) while it held the connection",
    headline="the process behind {target} died while it was answering",
    symptoms={
        Symptom.CLOSED_BEFORE_HEADER: WEAK,
        Symptom.RESET_BEFORE_HEADER: WEAK,
        Symptom.CLOSED_IN_BODY: 0.5,
        Symptom.RESET_IN_BODY: 0.5,
        Symptom.PROCESS_CRASHED: LIKELY,
        Symptom.PROCESS_EXITED: FAIR,
    },
    needs=frozenset({"events"}),
    explains=frozenset(
        {
            "backend-not-running",
            "connect-timeout",
            "connection-reset",
            "host-unreachable",
            "keepalive-race",
            "premature-close",
            "truncated-response",
            "unix-socket-missing",
        }
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
