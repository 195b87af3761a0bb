"""The backend itself returned this 5xx status; the proxy only passed it on.

The access log shows `$upstream_status` equal to `$status` and a header time, and the error log is silent. Look one hop further:
often a second proxy is behind this one.

## Do not confuse with
- every other cause: there the proxy itself returns the status and logs an error.
- `maintenance-response`: the proxy itself returns 503 (`return 503`).

## Confirm
- `curl -si -H 'Host: NAME' http://TARGET/PATH` directly to the backend shows the same status.

## Fix
- Read the application's own log. If another proxy answers there, run why502 on that machine.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#var_upstream_status
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.attribution import GAP
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.unnamed_requests import is_unnamed
from why502.gateways.behaviour import behaviour
from why502.gateways.error_logs import read_error_log
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom, Tally

_LIMITS = frozenset({"limit_req", "limit_conn"})


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if (passed_on := case.tally(Symptom.UPSTREAM_STATUS)) and not any(tally.is_failure for tally in _with_status(case)):
        yield refutes("a 500 from the application itself is not a failure on the way to it", passed_on.source, PROOF)
        return
    for probe in case.probes:
        if probe.status in (502, 503, 504) and case.seen(Symptom.UPSTREAM_STATUS, Symptom.GATEWAY_STATUS):
            yield supports(f"a probe sent directly to it was answered {probe.status} too", "probe", PROOF)
            return
    seen = {(tally.symptom, tally.status) for tally in case.failures}
    now = {(tally.symptom, tally.status) for tally in _since_the_gap(case)}
    only = now and now <= {(Symptom.GATEWAY_STATUS, status) for status in (502, 503, 504)}
    if (Symptom.GATEWAY_STATUS, 503) in seen and any(_LIMITS & route.settings.keys() for route in case.routes):
        return  # a limit sends 503 too, and may be logged at a level that is off
    if case.target is None and only and (log := _silent_balancer(case)):
        yield supports("the error log shows no reason for it on the part of the proxy", log, LIKELY)
    if (
        case.target is not None
        and only
        and not _may_be_its_rule(case)
        and not _has_unplaced_reason(case)
        and case.proxy
        and (log := read_error_log(case.proxy, case.here.logs))
    ):
        yield supports("the error log shows no reason on the part of the proxy", log, LIKELY)


def _since_the_gap(case: Case) -> list[Tally]:
    """Return the failures except those of a restart that had finished before several others began:
    the others have a different reason.
    """
    gap = [tally for tally in case.failures if tally.symptom in GAP]
    rest = [tally for tally in case.failures if tally.symptom not in GAP]
    over = max((tally.last for tally in gap if tally.last), default=None)
    begun = min((tally.first for tally in rest if tally.first), default=None)
    is_over = over is not None and begun is not None and begun >= over and sum(tally.count for tally in rest) > 1
    return rest if is_over and case.listeners != () and not case.probe(*GAP) else [*gap, *rest]


def _has_unplaced_reason(case: Case) -> bool:
    """Return whether the gateway logged reasons of its own without request and backend, as Apache does about FastCGI: they
    may be about these failures.
    """
    kind = case.proxy.kind if case.proxy else ""
    tallies = case.here.logs.tallies if case.here.logs else ()
    reasons = (tally for tally in tallies if tally.proxy == kind and tally.is_failure and is_unnamed(tally))
    return any(tally.symptom in behaviour(kind).unplaced for tally in reasons)


def _may_be_its_rule(case: Case) -> bool:
    """Return whether a rule of the proxy answers with one of the statuses, and its lines do not tell whose answer it was."""
    if case.proxy is None or not behaviour(case.proxy.kind).logs_own_statuses:
        return False
    return bool({answer.status for answer in case.proxy.answers} & {tally.status for tally in case.failures})


def _silent_balancer(case: Case) -> str:
    """Return the error log of the gateway whose balancer returned the status, if it was read; "" if there is none,
    or if several are involved.
    """
    gateways = [proxy for proxy in case.proxies if behaviour(proxy.kind).logs_own_statuses]
    failures = case.failures
    if len(gateways) != 1 or any(
        tally.proxy != gateways[0].kind or not tally.group or tally.status not in (502, 503, 504) for tally in failures
    ):
        return ""
    return read_error_log(gateways[0], case.here.logs)


def _with_status(case: Case) -> list[Tally]:
    return [tally for tally in case.tallies if tally.symptom is Symptom.UPSTREAM_STATUS]


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    statuses = sorted({tally.status for tally in _with_status(case) if tally.status and tally.is_failure})
    listed = "/".join(str(status) for status in statuses)
    if listed and (inner := case.inner_gateway):
        return (
            f"{inner.name} (pid {inner.pid}) on {case.target}, itself a gateway, answers {listed}; the reason is behind it, or "
            "in its log"
        )
    where = f" on {case.target}" if case.target is not None else ""
    return f"the application{where} itself answers {listed}; the proxy only passes it on" if listed else ""


@rule(117, "failure-returned-as-200", Severity.NOTE)
def told_as_200(deployment: Deployment) -> Iterator[Risk]:
    """A failure of the backend is answered with 200.

    Monitoring, caches and search engines treat the error page as the real page. Only `$upstream_status` still shows the failure.
    """
    seen = set()
    for route in deployment.routes_with("error_page"):
        for setting in route.settings.get("error_page", ()):
            if {"500", "502", "503", "504"} & set(setting.args) and "=200" in setting.args and setting.at not in seen:
                if not setting.args[-1].startswith("@"):
                    seen.add(setting.at)
                    yield risk("a failing backend is answered with 200", setting.at, "remove `=200`")


CAUSE = Cause(
    id="upstream-error-status",
    layer=Layer.UPSTREAM,
    message="the backend itself returned this 5xx status; the proxy only passed it on",
    symptoms={Symptom.UPSTREAM_STATUS: 5.0},
    examine=examine,
    summarize=summarize,
    foresee=(told_as_200,),
)
