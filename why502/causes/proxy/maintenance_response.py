"""The proxy is configured to return this status: return 503, a maintenance switch, every server marked down.

The access log shows the status without any upstream attempt, the error log is silent (`return`), or says "no live upstreams" while every member
is marked `down`.

## Confuse not with
- `rate-limited`: an error line names the zone.
- `all-upstreams-down`: the members failed by themselves.

## Confirm
- `nginx -T | grep -nE 'return 50[0-9]|down;'`; look for the switch file of `if (-f …)`.

## Fix
- End the maintenance: remove the switch file, the `return`, or `down`, and reload.

## References
- https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#return
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.target is not None:
        return
    dead = case.tally(Symptom.NO_LIVE_UPSTREAMS)
    if dead:
        for proxy in case.proxies:
            for group in proxy.upstreams:
                if group.name == dead.group and group.peers and all(peer.is_down for peer in group.peers):
                    yield supports(f"every server of group {group.name} is marked down", str(group.at or ""), 2 * PROOF)
                    return
    own = case.tally(Symptom.OWN_STATUS) or case.tally(Symptom.GATEWAY_STATUS)
    if own is None:
        return
    statuses = {t.status for t in case.tallies if t.symptom in (Symptom.OWN_STATUS, Symptom.GATEWAY_STATUS)}
    for proxy in case.proxies:
        for answer in proxy.answers:
            if answer.status in statuses:
                yield supports(
                    f"the configuration returns {answer.status} in {answer.location or answer.server}",
                    str(answer.at or ""),
                    LIKELY,
                )
                return


CAUSE = Cause(
    id="maintenance-response",
    layer=Layer.PROXY,
    says="the proxy is configured to return this status (return 503, a maintenance switch, every server marked down)",
    symptoms={Symptom.OWN_STATUS: LIKELY, Symptom.GATEWAY_STATUS: WEAK},
    yields_to=frozenset({"rate-limited"}),
    examine=examine,
)
