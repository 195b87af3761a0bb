"""The proxy's timeout is shorter than the time that the application legitimately needs. The application still finishes the work.

nginx answers 504 after exactly the configured time, while the application's own log shows that the request completed later.

## Do not confuse with
- `backend-too-slow`: the application should be faster, or it exceeds the default timeout of 60 s.
- `worker-timeout`: the application server's own limit is shorter.

## Confirm
- Compare the duration of the failing requests (`$request_time`) with proxy_read_timeout. Send the same request directly to the
  backend and measure it.

## Fix
- Raise the read timeout of that one route to what the work needs. The client's limit must be longer than the proxy's, and the
  proxy's longer than the backend's.

## References
- https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from why502.deployment.applications import behind
from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.attribution import CLOCK
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import other_path_s
from why502.diagnosis.streams import Stream, cut_short
from why502.gateways.behaviour import behaviour, read_limit_s
from why502.gateways.nginx.config import units
from why502.model.config import Position
from why502.model.finding import FAIR, LIKELY, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.request_line import path_of
from why502.remedies.changes import family, reload, set_in_route, set_where_written

MUCH = 4.0  # times the limit: longer than any wait that a too short limit explains
ENOUGH = 3  # failures; with fewer, "none succeeded" means nothing
QUICK = 0.2  # of the limit
LEAST_S = 1.0  # nobody sets a shorter limit for a whole application on purpose
USUAL_S = 60.0  # the default of every nginx module


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    route = case.route
    if route is None:
        return
    if stream := cut_short(case):
        yield supports(
            f"the application reports that its connections to {stream.entrance} end; {_said(stream)}, which runs",
            str(_setting(stream) or ""),
            LIKELY + WEAK,
        )
    if 0 < route.send_timeout_s < USUAL_S and case.tally(Symptom.SEND_TIMED_OUT):
        message = f"the send timeout of that route is {route.send_timeout_s:g} s, the default is {USUAL_S:g} s"
        yield supports(message, str(route.at or ""), 0.5)
    if not case.seen(Symptom.READ_TIMED_OUT):
        return
    limit, usual_s = read_limit_s(route), behaviour(route.proxy).usual_read_s
    late = next((p for p in case.probes if p.status is not None and (p.first_byte_s or 0) >= limit), None)
    if late is not None and late.first_byte_s is not None:
        yield supports(f"a probe was answered after {late.first_byte_s:.1f} s; the proxy waits {limit:g} s", "probe", STRONG)
        if late.first_byte_s > MUCH * limit:
            yield refutes(f"it takes more than {MUCH:g} times as long as the limit", "probe", FAIR)
        traffic = case.traffic
        if traffic and traffic.last_success and case.first_failure and traffic.last_success > case.first_failure:
            yield supports("other requests to it are answered in time: only this kind of work takes longer", "access log", FAIR)
        elif kind := kind_of_work(case):
            yield supports(f"only {kind} takes longer; other requests to it were answered shortly before", "access log", WEAK)
        elif nothing_answered(case):
            yield refutes("since then no request has been answered in time: the backend is slow in general", "access log", FAIR)
    elif limit < usual_s and (quick := quick_otherwise(case, limit)):
        # A request that never finished anywhere may never finish: it proves nothing about the limit.
        yield supports(quick, "access log, probe", STRONG if _has_ended(case) else WEAK)
    elif silent := case.probe(Symptom.READ_TIMED_OUT):
        yield refutes(f"a probe did not finish either: {silent.detail}", "probe", WEAK)
    if limit < usual_s and case.tally(Symptom.READ_TIMED_OUT):
        setting = route.setting(f"{family(route)}_read_timeout")
        block = route.location_at
        is_own = setting and setting.at and block and setting.at.file == block.file and setting.at.start > block.start
        is_special = is_own and any(read_limit_s(other) > limit for other in case.routes)
        at = str(setting.at if setting and setting.at else route.at or "")
        message = (
            f"the read timeout is {limit:g} s {'in this location itself' if is_own else 'there'}, the default is {usual_s:g} s"
        )
        yield supports(message, at, FAIR if is_special else 0.5)
    if 0 < limit < LEAST_S and case.tally(Symptom.READ_TIMED_OUT):
        message = f"{limit:g} s is shorter than many answers take, and no usual limit: a unit may be missing in the configuration"
        yield supports(message, str(route.at or ""), LIKELY)
    for tally in case.words(Symptom.PROCESS_FINISHED)[:1]:
        yield supports("the application's own log shows such requests completed later", tally.source, STRONG)
    for event in case.events(Symptom.PROCESS_FINISHED)[:1]:
        yield supports(event.message, event.source, STRONG)


def _said(stream: Stream) -> str:
    """Return in words what a stream does to silent connections."""
    return f"{stream.gateway} ends them after {stream.limit_s:g} s of silence between it and {stream.end}"


def _setting(stream: Stream) -> Position | None:
    setting = stream.route.setting("proxy_timeout")
    return setting.at if setting and setting.at else stream.route.at


def summarize(case: Case) -> str:
    """Return the finding in one sentence, if it concerns a stream to what the application depends on; else ""."""
    if (stream := cut_short(case)) is None or case.seen(Symptom.READ_TIMED_OUT):
        return ""
    return f"the application on {case.target} loses its connections to {stream.entrance}: {_said(stream)}"


def kind_of_work(case: Case) -> str:
    """Return the one path that fails if the same process answered other paths before; "" otherwise."""
    asked = {path_of(request) for tally in case.failures for request, _ in tally.requests}
    success = case.traffic.last_success if case.traffic else None
    if success is None or len(asked) != 1 or asked <= {"/", ""}:
        return ""
    is_same = all(process.started_at is None or process.started_at - CLOCK < success for process in case.processes)
    return asked.pop() if is_same else ""


def quick_otherwise(case: Case, limit: float) -> str:
    """Return a message that only one path times out while a probe of another path is answered quickly; "" otherwise.

    The path that timed out is not probed again: that would keep one more worker busy.
    """
    asked = {path_of(request) for tally in case.failures for request, _ in tally.requests}
    took_s = other_path_s(case)
    if len(asked) != 1 or asked <= {"/", ""} or took_s is None or took_s > QUICK * limit:
        return ""
    return f"only {asked.pop()} takes longer than the {limit:g} s set there; a probe of another path took {took_s:.2f} s"


def _has_ended(case: Case) -> bool:
    """Return whether a request that times out is known to finish: the access log shows that the same one was answered meanwhile.

    If it was answered only before the first failure, it is something else that changed then.
    """
    late, first = case.tally(Symptom.READ_TIMED_OUT), case.first_failure
    asked = {request for request, _ in late.requests} if late else set()
    served = [path.last_served for path in (case.here.logs.paths if case.here.logs else ()) if path.request in asked]
    return first is not None and any(at is not None and at >= first for at in served)


def nothing_answered(case: Case) -> bool:
    """Return whether the logs show enough failures of the target and no success since the first: then it is slow in general."""
    traffic, logs = case.traffic, case.here.logs
    if traffic:
        return traffic.failures >= ENOUGH
    failed = sum(tally.count for tally in case.failures)
    statuses = logs.by_status if logs and logs.has_access else {}
    return failed >= ENOUGH and bool(statuses) and not any(status[:1] in "1234" and status != "499" for status in statuses)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: raise the read timeout of that route to twice the measured time,
    or to the default if it was not measured.
    """
    if (stream := cut_short(case)) and not case.seen(Symptom.READ_TIMED_OUT):
        limit = "proxy_timeout" if stream.route.setting("proxy_timeout") else "the time limit"
        message = f"raise {limit} in {_setting(stream) or 'the stream'} above the time that the longest query is silent"
        yield Remedy(message=f"{message} ({stream.limit_s:g} s now)")
        return
    route = case.route
    late = max((p.first_byte_s or 0 for p in case.probes if p.status is not None), default=0.0)
    if route is None or (
        late <= read_limit_s(route)
        and not (read_limit_s(route) < behaviour(route.proxy).usual_read_s and quick_otherwise(case, read_limit_s(route)))
    ):
        return
    wanted_s = math.ceil(2 * late) if late > read_limit_s(route) else USUAL_S
    wanted = f"{wanted_s:g}s"
    if behaviour(route.proxy).takes_directives:
        change = set_in_route(case, f"{family(route)}_read_timeout", wanted)
        message = f"raise the read timeout of that route to {wanted}"
    else:
        setting = route.setting(behaviour(route.proxy).read_timeout)
        name = "".join(setting.args[0].rpartition("=")[:2]) if setting and setting.args else ""
        change = set_where_written(setting, f"{name}{wanted_s:g}{behaviour(route.proxy).read_timeout_unit}")
        place = f" ({change.file}:{change.line}, for everything that these settings apply to)" if change else ""
        message = f"raise the read timeout of that route to {wanted}{place}"
    load = reload(case.proxy)
    yield Remedy(message=message, steps=(change, *load) if change and load else ())


_THREE = tuple(
    tuple(f"{module}_{name}_timeout" for name in ("connect", "send", "read"))
    for module in ("proxy", "fastcgi", "uwsgi", "scgi", "grpc")
)
_MILLISECONDS = frozenset({"5000", "10000", "15000", "20000", "30000", "45000", "60000", "120000", "300000", "600000"})


@rule(86, "timeouts-equal-defaults", Severity.NOTE)
def equal_defaults(deployment: Deployment) -> Iterator[Risk]:
    """The connect, send and read timeouts are set to 60 s, their default.

    Such lines look like a fix for timeouts but change nothing.
    """
    for names in _THREE:
        for level, _ in deployment.uses(names[0]):
            own = [directive for name in names for directive in level.own(name)]
            is_default = len(own) == 3 and all(units.time(" ".join(directive.args)) == 60 for directive in own)
            if is_default and not (level.around and any(name in level.around.settings for name in names)):
                yield risk(
                    f"the three {names[0].partition('_')[0]} timeouts are 60 s by default",
                    own[0].at,
                    "remove them, or set what the application needs",
                )


@rule(87, "proxy-gives-up-first", Severity.WARNING)
def proxy_gives_up_first(deployment: Deployment) -> Iterator[Risk]:
    """The application may take longer than the proxy waits.

    The client gets 504, but the worker continues although nobody waits for the result. Under load this keeps all workers busy.
    """
    seen = set()
    for route, _, target in deployment.local_peers if deployment.units or deployment.pools else ():
        for backend in behind(deployment, target):
            limit = backend.timeout_s
            if limit and backend.is_timeout_set and limit > read_limit_s(route) and (route.at, backend.name) not in seen:
                seen.add((route.at, backend.name))
                yield risk(
                    f"the proxy waits {route.read_timeout_s:g} s, {backend.name} works up to {limit:g} s ({backend.timeout_at})",
                    route.at,
                    f"{route.directive.removesuffix('_pass')}_read_timeout above it, or a shorter limit there",
                )


@rule(89, "timeout-in-milliseconds", Severity.NOTE)
def in_milliseconds(deployment: Deployment) -> Iterator[Risk]:
    """A timeout looks like a value in milliseconds.

    A number without a unit means seconds: 60000 is more than 16 hours. During that time a dead backend holds each connection.
    """
    seen = set()
    for _, directive in deployment.uses(*(name for name in deployment.directives if name.endswith("_timeout"))):
        if directive.args[:1] and directive.args[0] in _MILLISECONDS and directive.at not in seen:
            seen.add(directive.at)
            value = int(directive.args[0])
            yield risk(
                f"{directive.name} {value} is {value / 3600:.1f} hours",
                directive.at,
                f"write {value // 1000}s if you meant milliseconds",
            )


CAUSE = Cause(
    id="proxy-timeout-too-short",
    layer=Layer.PROXY,
    message="the proxy's timeout is shorter than the time that the application legitimately needs",
    headline="{proxy} gives up before {target} can finish",
    symptoms={Symptom.READ_TIMED_OUT: WEAK},
    needs=frozenset({"probes"}),
    explains=frozenset({"backend-too-slow"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        equal_defaults,
        proxy_gives_up_first,
        in_milliseconds,
    ),
)
