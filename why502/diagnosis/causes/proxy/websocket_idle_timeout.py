"""An upgraded connection was idle for longer than the proxy's read or send timeout.

proxy_read_timeout (60 s) also applies between two reads on an upgraded connection. nginx logs the timeout at level info. The
status stays 101.

## Do not confuse with
- `backend-too-slow`: the connection was not upgraded.

## Confirm
- All sessions end exactly one timeout after their last message.

## Fix
- Send pings from the application at a shorter interval, or set a longer idle timeout on that route.
- nginx: the timeout is proxy_read_timeout.

## References
- https://nginx.org/en/docs/http/websocket.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.deployment.websockets import is_for_websockets
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.refused_route import Reason
from why502.diagnosis.unserved import PING_S, unserved
from why502.model.finding import LIKELY, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    tally = case.tally(Symptom.UPGRADED_TIMED_OUT)
    if case.target is None or tally is None:
        return
    cut = next((one for one in unserved(case.joins) if one.reason is Reason.CUT), None)
    if cut is None:
        return
    yield supports(cut.message, tally.source, LIKELY)
    route = case.route
    if route is not None and 0 < route.read_timeout_s <= PING_S:
        setting = route.setting("proxy_read_timeout")
        at = str((setting.at if setting else None) or route.at or "")
        yield supports(f"the read timeout there is {route.read_timeout_s:g} s, less than the usual time between pings", at, WEAK)


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    tally = case.tally(Symptom.UPGRADED_TIMED_OUT)
    if tally is None or case.target is None or case.route is None:
        return ""
    times = f"{tally.count} times" if tally.count > 1 else "once"
    return f"the proxy closed WebSockets to {case.target} {times}: the backend sent nothing for {case.route.read_timeout_s:g} s"


_SHORT_S = 30
_TOO_SHORT_S = 10  # below the interval at which common libraries ping (15 to 30 s)


@rule(53, "websocket-timeout-short", Severity.WARNING)
def short_websocket(deployment: Deployment) -> Iterator[Risk]:
    """A route for WebSockets has a short read timeout.

    The timeout also ends idle connections: without a ping in that time nginx closes each WebSocket.
    """
    upgrading = [
        route
        for route in deployment.routes_with("proxy_set_header")
        if any(name.lower() == "upgrade" and value for name, value in route.headers)
    ]
    served = {(route.server_at, route.upstream or route.passes) for route in upgrading if route.read_timeout_s > _SHORT_S}
    for route in upgrading:
        # A server whose WebSockets have a location of their own often repeats the headers in all others.
        has_another = (route.server_at, route.upstream or route.passes) in served
        if 0 < route.read_timeout_s <= _SHORT_S and not has_another:
            at = setting.at if (setting := route.setting("proxy_read_timeout")) else route.at
            yield risk(
                f"WebSockets are closed after {route.read_timeout_s:g} s of silence",
                at,
                "raise it above the application's ping interval",
                severity=None if is_for_websockets(route) and route.read_timeout_s <= _TOO_SHORT_S else Severity.NOTE,
            )


CAUSE = Cause(
    id="websocket-idle-timeout",
    layer=Layer.PROXY,
    message="an upgraded connection was idle for longer than the proxy's read or send timeout",
    symptoms={Symptom.UPGRADED_TIMED_OUT: LIKELY},
    examine=examine,
    summarize=summarize,
    foresee=(short_websocket,),
)
