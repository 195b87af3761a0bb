"""All of its workers are busy, so new requests queue until the proxy gives up.

The queue stands in the kernel: the connection is accepted for the proxy, the application has not taken it yet. nginx sees a read timeout
(504); when the queue is full too, a connect timeout (504) or EAGAIN on a unix socket (502).

## Confuse not with
- `backend-too-slow`: one request is slow although workers are free.
- `backend-hung`: nothing is answered at all.
- `php-fpm-max-children`: the same for a PHP-FPM pool.

## Confirm
- `ss -ltn 'sport = :PORT'`: Recv-Q above 0 while requests wait; the application server's own status.

## Fix
- Find what holds the workers first (slow queries, external calls); then more workers, as far as memory and the database allow.

## References
- https://man7.org/linux/man-pages/man8/ss.8.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import never_answered
from why502.model.finding import FAIR, LIKELY, PROOF, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.snapshot import CONNECT


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    waiting = case.queued
    slow = case.seen(Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.CONNECT_TIMED_OUT, Symptom.QUEUE_FULL)
    if not slow:
        return
    traffic = case.traffic
    some = traffic is not None and traffic.attempts > traffic.failures
    stopped = case.processes and all(p.state in ("T", "t") for p in case.processes)
    if waiting and not stopped:
        weight = LIKELY if some else FAIR
        yield supports(f"{waiting} connections wait to be accepted by the application", "ss -ltnx", weight)
    if slow and (apart := never_answered(case)):
        message = f"{apart.message}: it holds the workers that other requests wait for, however many there are"
        yield refutes(message, "access log", PROOF)
    kernel = case.host.kernel if case.host else None
    held = kernel.accepted.get(str(case.target), 0) if kernel else 0
    if waiting and held and not stopped:
        yield supports(f"it holds {held} accepted connections at the same time", "ss -tnp", WEAK)
    closed = kernel.worked_off.get(str(case.target), 0) if kernel else 0
    asked = [probe for probe in case.probes if probe.symptom or probe.request != CONNECT]
    asked = asked or list(case.entrances)  # of AJP nothing is asked, of the proxy it is
    silent = any(probe.symptom is Symptom.READ_TIMED_OUT and probe.status is None for probe in asked)
    if closed and silent and held and not waiting and some_answered(case):
        message = (
            f"it holds {held} connections, answers some in time, and closed {closed} abandoned by the proxy while being observed"
        )
        yield supports(f"{message}: they wait in its own queue", "ss -tn state close-wait", LIKELY)
    if some and waiting:
        yield supports("other requests were answered in the same time", "access log", WEAK)
    if case.answers_now is True and not waiting and not any(probe.symptom for probe in asked):
        yield refutes("nothing waits in its queue now, and it answers", "probe", WEAK)
    for tally in case.words(Symptom.WORKERS_BUSY)[:1]:
        yield supports("the application server itself reports that all its workers are busy", tally.source, PROOF)
    for event in case.events(Symptom.WORKERS_BUSY)[:1]:
        yield supports(event.message, event.source, PROOF)


def some_answered(case: Case) -> bool:
    """Return whether some request was answered in the window: by the target, or, where the access log names none, at all."""
    traffic, logs = case.traffic, case.here.logs
    if traffic is not None:
        return traffic.attempts > traffic.failures
    return any(status.startswith("2") for status in (logs.by_status if logs else ()))


@rule(99, "buffering-off-for-all", Severity.NOTE)
def slow_clients(deployment: Deployment) -> Iterator[Risk]:
    """Buffering is off for everything that a backend of few workers answers.

    A worker of PHP-FPM, uWSGI or the like is then busy until the slowest client has taken the answer: a few slow clients take them all.
    """
    seen = set()
    for route in deployment.routes:
        module = route.directive.removesuffix("_pass")
        setting = route.setting(f"{module}_buffering")
        if module in ("fastcgi", "uwsgi", "scgi") and setting and setting.args == ("off",) and setting.at not in seen:
            if route.location in ("", "/", "~ \\.php$", "~ \\.php(?:$|/)", "~ \\.php(/|$)", "~* \\.php$", "~ [^/]\\.php(/|$)"):
                seen.add(setting.at)
                yield risk(
                    "slow clients hold the backend's workers",
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
