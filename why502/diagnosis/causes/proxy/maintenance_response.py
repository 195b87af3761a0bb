"""The proxy is configured to return this status: `return 503`, a maintenance switch, or every server marked down.

The access log shows the status without an upstream attempt. The error log is silent (`return`), or shows "no live upstreams"
while every member is marked `down`.

## Do not confuse with
- `rate-limited`: an error-log line names the zone.
- `all-upstreams-down`: the members are marked failed because of real failures.

## Confirm
- Run `nginx -T | grep -nE 'return 50[0-9]|down;'`, and look for the switch file of `if (-f …)`.

## Fix
- End the maintenance: remove the switch file, the `return`, or `down`, and reload.

## References
- https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#return
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.spares import MAINTENANCE
from why502.diagnosis.targets import addresses
from why502.model.config import Answer
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.request_line import path_of

CLOCK = timedelta(seconds=2)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is not None:
        return
    dead = case.tally(Symptom.NO_LIVE_UPSTREAMS)
    if dead:
        for proxy in case.proxies:
            for group in proxy.upstreams:
                if group.name == dead.group and group.peers and all(peer.is_down for peer in group.peers):
                    yield supports(f"every server of group {group.name} is marked down", str(group.at or ""), 2 * PROOF)
                    return
    if switched := _switched_off(case):
        yield supports(switched.message, switched.source, switched.weight)
        return
    own = case.tally(Symptom.OWN_STATUS) or case.tally(Symptom.GATEWAY_STATUS)
    if own is None:
        return
    seen = [t for t in case.tallies if t.symptom in (Symptom.OWN_STATUS, Symptom.GATEWAY_STATUS)]
    limited = case.tally(Symptom.RATE_LIMITED)
    for proxy in case.proxies:
        for answer in proxy.answers:
            is_other = answer.is_limit or answer.is_of_some or answer.is_of_responses
            asked = [t for t in seen if t.status == answer.status and not is_other]
            if asked:
                where = f"the configuration returns {answer.status} in {answer.location or answer.server}"
                yield supports(where, str(answer.at or ""), LIKELY)
                if limited and not any(_is_there(answer, request) for t in asked for request, _ in t.requests):
                    break
                return
    if own.detail and own.named not in ("", CAUSE.id):
        yield refutes(f"a rule with a condition answered so: {own.detail}", own.source, PROOF)
    elif limited:
        yield refutes(f"the proxy's limits refused requests, {limited.count} by its error log", limited.source, PROOF)


def _switched_off(case: Case) -> Evidence | None:
    """Return the evidence that every server of the empty group was set to maintenance or drain while the proxy ran, or None."""
    group = case.empty_group
    if group is None:
        return None
    members = {target for peer in group.peers if not peer.is_down for target in addresses(peer, case.here)}
    tallies = [tally for target in members for tally in case.joins.tallies.get(target, ())]
    off = {tally.target: tally for tally in tallies if tally.symptom is Symptom.PEER_DISABLED and tally.code == MAINTENANCE}
    if not members or off.keys() != members:
        return None
    for tally in tallies:
        begun = off[tally.target].first
        if tally.is_failure and tally.last and begun and tally.last > begun + CLOCK:
            return None  # it was used again after that
    first = min(off.values(), key=lambda tally: tally.source)
    return supports(f"every server of {group.name} was set to maintenance or drain while the proxy ran", first.source, 2 * PROOF)


def _is_there(answer: Answer, request: str) -> bool:
    """Return whether the path of a request ("GET /path") belongs to the location that returns the status itself."""
    path = path_of(request)
    sign, _, prefix = answer.location.rpartition(" ")
    return path == prefix if sign == "=" else sign in ("", "^~") and path.startswith(prefix)


@rule(78, "all-servers-down", Severity.WARNING)
def all_down(deployment: Deployment) -> Iterator[Risk]:
    """Every server of a group is marked `down`.

    Every request gets 502 immediately (`no live upstreams`).
    """
    used = {route.upstream for route in deployment.routes}
    for group in deployment.upstreams:
        if group.peers and all(peer.is_down for peer in group.peers) and group.name in used:
            yield risk(f'every server of upstream "{group.name}" is marked down', group.peers[0].at, "remove `down` from one")


@rule(79, "return-before-locations", Severity.WARNING)
def shadowed_by_return(deployment: Deployment) -> Iterator[Risk]:
    """A server answers every request itself, before it matches a location.

    nginx executes `return` outside of a location first. It never reaches the locations that lead to a backend. Typical: a
    forgotten maintenance switch, or a redirect meant for one location.
    """
    passing = {route.server_at for route in deployment.routes}
    for level in deployment.blocks("server"):
        found = level.own("return")
        if found and level.at in passing and level.path[:1] != ("stream",):
            answer = " ".join(found[0].args[:1])
            yield risk(
                f"the server answers {answer} before any location is matched",
                found[0].at,
                "move it into `location / { … }`, or remove it",
            )


CAUSE = Cause(
    id="maintenance-response",
    layer=Layer.PROXY,
    is_intended=True,
    message="the proxy is configured to return this status (return 503, a maintenance switch, every server marked down)",
    symptoms={Symptom.OWN_STATUS: LIKELY, Symptom.GATEWAY_STATUS: WEAK},
    explains=frozenset({"all-upstreams-down"}),
    examine=examine,
    foresee=(
        all_down,
        shadowed_by_return,
    ),
)
