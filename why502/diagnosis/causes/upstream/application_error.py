"""The application reported its own error (PHP fatal error, traceback) and returned its own status.

The proxy works. Its log may contain the application's message ("FastCGI sent in stderr: PHP Fatal error…").

## Do not confuse with
- `upstream-error-status`: only the status is known, there is no message.

## Confirm
- Read the application's log for that second.

## Fix
- Correct the error that the application's own log shows. If it began with a deploy, roll that back first.

- If workers read each other's answers ("bad record mac", "packet sequence number wrong"), they share a connection that was opened
  before they were forked. Open it in each worker: `lazy-apps` in uWSGI, `post_fork` in gunicorn, `on_worker_boot` in Puma.

## References
- https://www.php.net/manual/en/errorfunc.constants.php
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.attribution import GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import never_answered, unfinished
from why502.diagnosis.dropped import dropped
from why502.diagnosis.refused_route import Reason, Unserved
from why502.diagnosis.streams import cut_short
from why502.diagnosis.unserved import last_words, refusals, unserved
from why502.diagnosis.waiting import is_hurt, mixed_up
from why502.gateways.behaviour import behaviour
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom, Tally
from why502.model.snapshot import Event

ENDED = 2  # one line of a log may stand for two requests: those of other threads end too, and windows differ by seconds
_UNANSWERED = frozenset({Symptom.READ_TIMED_OUT, Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER})
_BY_STATUS = frozenset({Symptom.UPSTREAM_STATUS, Symptom.GATEWAY_STATUS})


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is not None and case.seen(Symptom.UPSTREAM_STATUS):
        for event in case.events(Symptom.APPLICATION_ERROR)[:1]:
            yield supports(event.message, event.source, STRONG)
    if mixed := _mixed_up(case):
        message = (
            f"several of its processes use one connection, so they read each other's answers: {mixed.detail or mixed.message}"
        )
        yield supports(message, mixed.source, LIKELY)
    if (error := unfinished(case)) and (apart := never_answered(case)):
        message = f"{apart.message}, and the application reports an error at that time: {error.detail or error.message}"
        yield supports(message, error.source, LIKELY)
    if broken := dropped(case):
        error, told, count = broken
        message = f"it reports an error of its own for {told} of {count} requests that broke off, and lives on"
        yield supports(f"{message}: {error.detail or error.message}", error.source, PROOF)
    if one := _answered(case):
        is_sure = one.is_of_application and not _is_of_the_proxy(case, one)
        yield supports(one.message, "access log", LIKELY if is_sure else FAIR)
        if is_sure:
            yield from _last_words(case)
        if stream := cut_short(case):
            message = f"{stream.gateway} ends its connections to {stream.end} after {stream.limit_s:g} s of silence"
            yield refutes(message, str(stream.route.at or ""), LIKELY)
        ended = case.events(Symptom.WORKER_TIMED_OUT)
        if is_sure and ended and ENDED * sum(event.count for event in ended) >= one.refused:
            yield refutes("its server ended about as many requests because they took too long", ended[0].source, PROOF)
        if is_sure and case.probe(*GAP):
            yield refutes("it answers nothing at all now", "probe", WEAK)
    elif closed := _closed(case):
        yield supports(f"{closed.message}, and none since it served them before", "access log", LIKELY)
        yield from _last_words(case)
    elif status := case.errs_since:
        yield supports(
            f"the application now answers a request that failed with {status}, and no request has succeeded since",
            "probe",
            LIKELY,
        )
        yield from _last_words(case)


def _mixed_up(case: Case) -> Event | None:
    """Return the application's message that answers on a connection get mixed up while requests fail; None if there is none."""
    return mixed_up(case) if case.target is not None and is_hurt(case) else None


def _last_words(case: Case) -> Iterator[Evidence]:
    """Yield the last error that the application logged about itself."""
    if words := last_words(case.here, case.target, case.joins):
        yield supports(f"its last error: {words}", "its log", FAIR)


def _answered(case: Case) -> Unserved | None:
    """Return the route for which the application answers most requests with an error; None if there is none."""
    for one in unserved(case.joins):
        is_own = one.target == case.target if case.target is not None else one.target is None
        if one.reason is Reason.APPLICATION and is_own:
            return one
    return None


def _closed(case: Case) -> Unserved | None:
    """Return the route on which the application now refuses all requests of the kinds that it served before in the window;
    None if there is none.
    """
    return next((one for one in refusals(case) if one.reason is Reason.REFUSAL and one.has_closed), None)


def _is_of_the_proxy(case: Case, one: Unserved) -> bool:
    """Return whether the proxy's own log gives the reason for these responses: a rewrite cycle, a failed access check, or no
    answer over AJP; or whether the proxy answers so without a word where no answer comes.
    """
    logs = case.here.logs
    is_silent = case.route is not None and case.protocol in behaviour(case.route.proxy).silent_500_of
    if is_silent and not last_words(case.here, case.target, case.joins):
        return True  # that status may be the gateway's own, for no answer
    if (
        case.protocol == "ajp"
        and ENDED * sum(tally.count for tally in case.failures if tally.symptom in _UNANSWERED) >= one.refused
    ):
        return True  # Apache answers 500 where it may not repeat the request: a body, or a query (mod_proxy_ajp, is_idempotent)
    untold = (  # the gateway's own words name no request
        tally
        for tally in case.failures
        if not tally.requests and tally.status in (None, 500)
        if tally.symptom not in (*_BY_STATUS, *GAP, Symptom.APPLICATION_ERROR)
    )
    if ENDED * sum(tally.count for tally in untold) >= one.refused:
        return True
    return any(
        tally.is_failure
        and (_is_own(tally) or tally.symptom not in (*_BY_STATUS, *GAP))  # for a failed connection a gateway sends 502, not 500
        and tally.status in (None, 500)
        and any(request == one.request for request, _ in tally.requests)
        for tally in (logs.tallies if logs else ())
    )


def _is_own(tally: Tally) -> bool:
    """Return whether the log says that the gateway sent the 500 itself."""
    return tally.symptom is Symptom.GATEWAY_STATUS and behaviour(tally.proxy or "").tells_own_500


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    one = _answered(case)
    if mixed := _mixed_up(case):
        return (
            f"the processes of the application on {case.target} share one connection to what they depend on, and read each "
            f"other's answers: {mixed.detail or mixed.message}"
        )
    if one is None and (broken := dropped(case)):
        return f"the application on {case.target} breaks requests off with an error: {broken[0].detail or broken[0].message}"
    if one is None and (error := unfinished(case)) and (apart := never_answered(case)):
        return f"the application on {case.target} never answers {apart.request}: {error.detail or error.message}"
    if one is None and (closed := _closed(case)):
        return f"the application on {case.target} refuses what it served before: {closed.message}"
    return one.message if one else ""


CAUSE = Cause(
    id="application-error",
    layer=Layer.UPSTREAM,
    message="the application reported its own error (PHP fatal error, traceback) and returned its own status",
    symptoms={Symptom.APPLICATION_ERROR: LIKELY},
    answers=frozenset({Reason.APPLICATION, Reason.REFUSAL}),
    explains=frozenset({"invalid-response", "upstream-error-status"}),
    examine=examine,
    summarize=summarize,
)
