"""Every server of the group is marked as failed or down, so none was available.

nginx answers 502 immediately ("no live upstreams"). Each server is marked as failed for fail_timeout (10 s by default) after
max_fails failures (1 by default). A group with a single address never gets into this state, except by `down` or max_conns.
HAProxy and Apache answer 503.

## Do not confuse with
- the causes of the members' own failures: they are reported next to this one, and fixing them fixes this one.
- `maintenance-response`: all members are marked `down` in the configuration.

## Confirm
- The log lines just before show which member failed and how. `upstream server temporarily disabled` is logged at level warn.

## Fix
- Fix the members. If short bursts of failures disable all of them together, use a larger max_fails, a shorter fail_timeout, or
  max_fails=0 for the last one.

## References
- nginx: src/http/ngx_http_upstream_round_robin.c, ngx_http_upstream_get_peer
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, stands_alone
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.peers import described, views_of
from why502.diagnosis.targets import addresses
from why502.gateways.behaviour import behaviour
from why502.model.config import Peer, Upstream
from why502.model.finding import FAIR, LIKELY, STRONG, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.proxy import PeerState
from why502.model.remedy import Remedy
from why502.remedies.changes import reload


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if ejected := _ejected(case):
        yield supports(*ejected, STRONG)
    group = case.empty_group
    if group is None or any(behaviour(tally.proxy or "").tells_failed_checks for tally in case.tallies):
        return  # its checks show for each server why it is down
    members = {target: peer for peer in group.peers for target in addresses(peer, case.here)}
    failing = {t.target for t in (case.here.logs.tallies if case.here.logs else ()) if t.target in members}
    if len(members) > 1 and failing >= {target for target, peer in members.items() if not peer.is_down}:
        yield supports(f"each of its servers failed on its own: {', '.join(map(str, sorted(failing)))}", "", FAIR)
    else:
        for target in sorted(failing):
            yield supports(f"member {target} failed on its own", "", 0.5)
    alive = [str(p.target) for p in case.here.probes or () if p.target in members and p.has_recovered and not p.through_proxy]
    if alive:
        yield supports(f"{', '.join(sorted(set(alive)))} answer now", "probe", WEAK)


def _ejected(case: Case) -> tuple[str, str] | None:
    """Return that the gateway leaves the target out after a few failures, which cost more requests than failed by themselves,
    and the source; None if it does not.
    """
    left_out = [(proxy, view) for proxy, view in views_of(case.here, case.target) if view.state is PeerState.EJECTED]
    lost = sum(tally.count for tally in case.tallies if tally.symptom is Symptom.NO_LIVE_UPSTREAMS)
    own = sum(tally.count for tally in case.failures if tally.symptom not in (Symptom.NO_LIVE_UPSTREAMS, Symptom.GATEWAY_STATUS))
    if not left_out or lost <= own:
        return None
    return f"{described(*left_out[0])}: {lost} requests got no server, and {own} failed on it", left_out[0][1].source


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    group = case.empty_group
    return f"every server of {group.name} is marked as failed or down, so none was available" if group else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy if the members answer again: a reload clears the failed state."""
    tally = case.tally(Symptom.NO_LIVE_UPSTREAMS)
    for proxy in case.proxies:
        for group in proxy.upstreams:
            members = {target for peer in group.peers if not peer.is_down for target in addresses(peer, case.here)}
            probes = [p for p in case.here.probes or () if p.target in members and not p.through_proxy]
            if tally and group.name == tally.group and any(p.symptom is None for p in probes) and (steps := reload(proxy)):
                message = f"reload {proxy.kind}: this clears the failed state of the servers of {group.name}, which answer now"
                yield Remedy(message=message, steps=steps, safe=True)


_COUNTED = ("http_500", "http_502", "http_503", "http_504", "http_429")
_LONG_S = 60.0


def _used(deployment: Deployment) -> Iterator[Upstream]:
    """Yield the groups in `http` that a route uses."""
    names = {route.upstream for route in deployment.routes}
    return (group for group in deployment.upstreams if group.name in names)


def _primary(group: Upstream) -> tuple[Peer, ...]:
    return tuple(peer for peer in group.peers if not peer.is_backup and not peer.is_down)


@rule(70, "max-fails-without-effect", Severity.NOTE)
def max_fails_alone(deployment: Deployment) -> Iterator[Risk]:
    """max_fails or fail_timeout is set for the only server of a group.

    nginx ignores both if a group has only one address: it tries the server for every request, because there is no other.
    """
    for level in deployment.blocks("upstream"):
        servers = level.own("server")
        group = deployment.group_at(level.at) if any(len(server.args) > 1 for server in servers) else None
        if group is None or not stands_alone(group.peers) or len(group.peers) != 1:
            continue
        for server in servers:
            words = [
                word
                for word in server.args[1:]
                if word.startswith(("max_fails=", "fail_timeout=")) and word[-2:] not in ("=0", "0s")
            ]
            if words:
                yield risk(
                    f"{' '.join(words)} has no effect: it is the only server", server.at, "add a second server, or remove it"
                )


@rule(71, "fail-timeout-empties-group", Severity.WARNING)
def empties_group(deployment: Deployment) -> Iterator[Risk]:
    """One failure disables each server for a long time, so a short failure of all of them leaves the group without servers.

    While all servers are marked as failed, nginx answers 502 immediately (`no live upstreams`), even if they have long recovered.
    """
    for group in _used(deployment):
        peers = _primary(group)
        if len(peers) > 1 and not any(peer.is_backup for peer in group.peers):
            if all(peer.max_fails == 1 and peer.fail_timeout_s >= _LONG_S for peer in peers):
                shortest = min(peer.fail_timeout_s for peer in peers)
                message = f'after one failure of each server, upstream "{group.name}" answers 502 for {shortest:g} s'
                yield risk(
                    message, peers[0].at, "use a shorter fail_timeout (10s), a larger max_fails, or max_fails=0 for one server"
                )


@rule(72, "server-errors-empty-group", Severity.NOTE)
def errors_empty_group(deployment: Deployment) -> Iterator[Risk]:
    """Error responses of the application count as failures of its servers.

    http_500 and similar values in proxy_next_upstream cause this. A few requests to one URL with a bug mark every server as
    failed, and all other requests get `no live upstreams`. http_429 has the same effect for one client over its limit.
    """
    seen = set()
    for route in deployment.routes_setting("next_upstream"):
        group = deployment.group(route.upstream)
        words = [word for word in route.next_upstream if word in ("http_500", "http_429")]
        setting = route.setting(f"{route.directive.removesuffix('_pass')}_next_upstream")
        if group and words and setting and setting.at not in seen and len(_primary(group)) > 1:
            if all(peer.max_fails == 1 for peer in _primary(group)):
                seen.add(setting.at)
                message = f"{' and '.join(words)} of one request can mark every server as failed (max_fails is 1)"
                yield risk(message, setting.at, "remove it, or raise max_fails")


@rule(73, "single-server", Severity.NOTE)
def single_server(deployment: Deployment) -> Iterator[Risk]:
    """A group has only one server, on another machine.

    nginx cannot retry on another server. While that server restarts or fails, every request gets 502.
    """
    for group in _used(deployment):
        target = group.peers[0].target if group.peers else None
        if stands_alone(group.peers) and len(group.peers) == 1 and target and not target.is_loopback:
            yield risk(f'upstream "{group.name}" has only one server', group.peers[0].at, "add a second one, or a `backup`")


@rule(74, "retry-without-other-server", Severity.NOTE)
def retry_alone(deployment: Deployment) -> Iterator[Risk]:
    """Retries are configured for a target that is a single address.

    nginx tries each server once for a request, so proxy_next_upstream has no next server.
    """
    seen = set()
    for route in deployment.routes_setting("next_upstream"):
        module = route.directive.removesuffix("_pass")
        level = deployment.level(route)
        own = level.own(f"{module}_next_upstream") if level else ()
        if own and own[0].args != ("off",) and stands_alone(route.peers) and len(route.peers) == 1 and not route.has_variables:
            if own[0].at not in seen:
                seen.add(own[0].at)
                yield risk(
                    f"{module}_next_upstream has no server other than {route.peers[0].name}",
                    own[0].at,
                    "add a server, or remove it",
                )


@rule(75, "retry-of-posts", Severity.WARNING)
def non_idempotent(deployment: Deployment) -> Iterator[Risk]:
    """Requests that change data are sent again after a failure.

    With `non_idempotent` nginx repeats a POST on the next server although the first one may have executed it. Orders are placed
    twice, and a request that crashes the application crashes it on every server.
    """
    seen = set()
    for route in deployment.routes_setting("next_upstream"):
        setting = route.setting(f"{route.directive.removesuffix('_pass')}_next_upstream")
        if setting and "non_idempotent" in setting.args and setting.at not in seen and not stands_alone(route.peers):
            seen.add(setting.at)
            yield risk(
                "a failed POST is sent to the next server too",
                setting.at,
                "remove non_idempotent if a POST must not be executed twice",
            )


CAUSE = Cause(
    id="all-upstreams-down",
    layer=Layer.UPSTREAM,
    message="every server of the group is marked as failed or down, so none was available",
    symptoms={Symptom.NO_LIVE_UPSTREAMS: LIKELY},
    sums_members=True,
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        max_fails_alone,
        empties_group,
        errors_empty_group,
        single_server,
        retry_alone,
        non_idempotent,
    ),
)
