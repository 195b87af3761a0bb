"""All workers of the backend are busy, so new requests queue until the proxy gives up.

The queue is in the kernel: the connection is established, but the application has not accepted it yet. nginx runs into a read
timeout (504). If the queue is full too, it gets a connect timeout (504), or EAGAIN on a unix socket (502).

## Do not confuse with
- `backend-too-slow`: a request is slow although workers are free.
- `backend-hung`: nothing is answered at all.
- `php-fpm-max-children`: the same problem for a PHP-FPM pool.

## Confirm
- `ss -ltn 'sport = :PORT'` shows Recv-Q above 0 while requests wait. See also the application server's own status.

## Fix
- First find out what keeps the workers busy (slow queries, external calls). Then add workers, as far as memory and the database
  allow.

## References
- https://man7.org/linux/man-pages/man8/ss.8.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import given_up_before, idles, never_answered
from why502.diagnosis.slots import slots
from why502.diagnosis.spinning import spins
from why502.model.finding import FAIR, LIKELY, PROOF, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.probe import CONNECT, Probe

WAITED_S = 1.0  # longer than a free worker needs for a harmless request


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    waiting = case.queued
    slow = case.seen(Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.CONNECT_TIMED_OUT, Symptom.QUEUE_FULL)
    if not slow:
        return
    traffic = case.traffic
    some = traffic is not None and traffic.attempts > traffic.failures
    stopped = case.processes and all(p.is_stopped for p in case.processes)
    if waiting and not stopped:
        weight = LIKELY if some and waiting > 1 else FAIR  # one may wait at any moment
        count = "1 connection waits" if waiting == 1 else f"{waiting} connections wait"
        yield supports(f"{count} to be accepted by the application", "ss -ltnx", weight)
    if case.killer and case.seen(Symptom.CLOSED_BEFORE_HEADER):
        message = f"{case.killer} ends workers, and requests wait until others are started: more workers do not help"
        yield refutes(message, "access log", LIKELY)
    if slow and (apart := never_answered(case)):
        message = f"{apart.message}: it keeps workers busy that other requests wait for, whatever their number"
        yield refutes(message, "access log", PROOF)
    if still := idles(case):
        yield refutes(f"{still}: no worker becomes free", "access log, /proc/PID/stat, ss", LIKELY)
    if loop := spins(case):
        yield refutes(f"{loop}: it has no workers that become free", "/proc/PID/stat, ss -ltnx", LIKELY)
    kernel = case.host.kernel if case.host else None
    held = (kernel.of(case.target, kernel.accepted) or 0) if kernel else 0
    if waiting and held and not stopped:
        yield supports(f"it holds {held} accepted connections at the same time", "ss -tnp", WEAK)
    closed = (kernel.of(case.target, kernel.worked_off) or 0) if kernel else 0
    asked = [probe for probe in case.probes if probe.symptom or probe.request != CONNECT]
    asked = asked or list(case.entrances)  # AJP backends are not probed; then the proxy is
    silent = any(probe.symptom is Symptom.READ_TIMED_OUT and probe.status is None for probe in asked)
    if closed and silent and held and not waiting and some_answered(case):
        message = (
            f"it holds {held} connections, answers some in time, and closed {closed} abandoned by the proxy while being observed"
        )
        yield supports(f"{message}: they wait in its own queue", "ss -tn state close-wait", LIKELY)
    elif not stopped and _is_silent_or_late(asked) and (full := _full(case, held)):
        yield supports(full, "ss -tnp, its command", LIKELY)
    if some and waiting:
        yield supports("other requests were answered in the same time", "access log", WEAK)
    if case.answers_now is True and not waiting and not any(probe.symptom for probe in asked):
        yield refutes("nothing waits in its queue now, and it answers", "probe", WEAK)
    for tally in case.words(Symptom.WORKERS_BUSY)[:1]:
        yield supports("the application server itself reports that all its workers are busy", tally.source, PROOF)
    for event in case.events(Symptom.WORKERS_BUSY)[:1]:
        yield supports(event.message, event.source, PROOF)
    for event in case.events(Symptom.WORKER_TIMED_OUT)[:1]:
        if waiting and given_up_before(case, event):
            times = "a worker" if event.count == 1 else f"{event.count} workers"
            message = f"the application server killed {times} that had been busy for too long: {event.message}"
            yield supports(message, event.source, FAIR)
    for event in case.events(Symptom.QUEUE_FULL)[:1]:  # its server hands requests to workers of its own (mod_wsgi)
        message = f"its own server cannot hand requests to its workers, whose queue is full: {event.message}"
        yield supports(message, event.source, LIKELY)


def _is_silent_or_late(probes: list[Probe]) -> bool:
    """Return whether one of our requests got no answer in time, or waited for it."""
    return any(probe.symptom is Symptom.READ_TIMED_OUT or (probe.first_byte_s or 0.0) >= WAITED_S for probe in probes)


def _full(case: Case, held: int) -> str:
    """Return a message that it holds more connections than it serves requests at once, and still answers some; "" if not so."""
    room, first, answered = slots(case), case.first_failure, case.last_answered
    goes_on = any(probe.is_answer for probe in case.probes) or (
        first is not None and answered is not None and answered >= first.replace(microsecond=0)
    )
    if room is None or held <= room or not goes_on:
        return ""
    return (
        f"it serves at most {room} requests at once, by its command, and holds {held} connections: the others wait inside of it"
    )


def some_answered(case: Case) -> bool:
    """Return whether a request was answered in the window: by the target, or by any backend if the access log does
    not name targets.
    """
    traffic, logs = case.traffic, case.here.logs
    if traffic is not None:
        return traffic.attempts > traffic.failures
    return any(status.startswith("2") for status in (logs.by_status if logs else ()))


@rule(99, "buffering-off-for-all", Severity.NOTE)
def slow_clients(deployment: Deployment) -> Iterator[Risk]:
    """Buffering is off for all responses of a backend that has few workers.

    A worker of PHP-FPM, uWSGI or similar is then busy until a slow client has received the response. A few slow clients keep all
    workers busy.
    """
    seen = set()
    for route in deployment.routes_of("fastcgi", "uwsgi", "scgi"):
        module = route.directive.removesuffix("_pass")
        setting = route.setting(f"{module}_buffering")
        if module in ("fastcgi", "uwsgi", "scgi") and setting and setting.args == ("off",) and setting.at not in seen:
            if route.location in ("", "/", "~ \\.php$", "~ \\.php(?:$|/)", "~ \\.php(/|$)", "~* \\.php$", "~ [^/]\\.php(/|$)"):
                seen.add(setting.at)
                yield risk(
                    "slow clients keep the backend's workers busy",
                    setting.at,
                    "turn it off for streams only (or answer those with X-Accel-Buffering: no)",
                )


CAUSE = Cause(
    id="workers-exhausted",
    layer=Layer.UPSTREAM,
    message="all workers of the backend are busy, so new requests queue until the proxy gives up",
    headline="all workers behind {target} are busy, and requests wait for one",
    symptoms={
        Symptom.READ_TIMED_OUT: 0.5,
        Symptom.WORKERS_BUSY: LIKELY,
        Symptom.CONNECT_TIMED_OUT: 0.5,
        Symptom.QUEUE_FULL: WEAK,
    },
    needs=frozenset({"listeners"}),
    explains=frozenset({"backend-hung", "backend-too-slow", "client-closed-request", "proxy-timeout-too-short"}),
    examine=examine,
    foresee=(slow_clients,),
)
