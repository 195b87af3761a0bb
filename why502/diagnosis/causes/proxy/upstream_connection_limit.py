"""A limit for this backend is reached in the proxy: max_conns, maxconn, a full queue or a full connection pool.

nginx logs "no live upstreams" for a group whose members answer. HAProxy logs sQ, Apache AH00941, Envoy UO, Varnish "busy".

## Do not confuse with
- `all-upstreams-down`: the members fail.
- `workers-exhausted`: the backend itself reached a limit.

## Confirm
- Compare the limit in the configuration with the connections in use (`ss -Htn dst ADDRESS | wc -l`).

## Fix
- Find out why connections are held so long. Raise the limit only as far as the backend can handle.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#max_conns
- https://docs.haproxy.org/2.6/configuration.html#5.2-maxconn
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment, stands_alone
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.targets import addresses
from why502.gateways.behaviour import behaviour
from why502.model.finding import PROOF, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against. nginx also logs "no live upstreams" for full servers (ngx_http_upstream_get_peer)."""
    if (limit := _limit(case)) is not None:
        yield supports(*limit, WEAK)
    if case.target is not None and case.failures and not _is_told_by_inner(case) and (limits := case.events(Symptom.PEER_LIMIT)):
        count = sum(event.count for event in limits)
        times = f", {count} times" if count > 1 else ""
        message = f"what passes connections on there reports: {limits[-1].detail}{times}"
        yield supports(message, limits[-1].source, PROOF)
    if case.target is not None or not (tally := case.tally(Symptom.NO_LIVE_UPSTREAMS)):
        return
    groups = (group for proxy in case.proxies if behaviour(proxy.kind).full_is_no_upstream for group in proxy.upstreams)
    group = next((group for group in groups if group.name == tally.group), None)
    limited = [peer for peer in group.peers if peer.max_conns and not peer.is_down] if group else []
    if group is None or not limited:
        return
    members = {target for peer in group.peers for target in addresses(peer, case.here)}
    logs = case.here.logs
    if not any(failed.target in members and failed.is_failure for failed in (logs.tallies if logs else ())):
        message = (
            f"{limited[0].name} accepts {limited[0].max_conns} connections at a time (max_conns), and no server of "
            f"{group.name} failed"
        )
        yield supports(message, str(limited[0].at or ""), PROOF)


def _limit(case: Case) -> tuple[str, str] | None:
    """Return the configured limit that is reached in words, and its place; None if unknown."""
    tally = case.tally(Symptom.PEER_LIMIT)
    group = case.joins.groups[tally.group][1] if tally is not None and tally.group in case.joins.groups else case.group
    if tally is None or group is None:
        return None
    peers = [p for p in group.peers if p.max_conns and not p.is_down and (case.target in (None, *addresses(p, case.here)))]
    if not peers:
        return None
    least, most = (find(peer.max_conns for peer in peers) for find in (min, max))
    number = f"{least}" if least == most else f"{least} to {most}"
    each = f"each server of {group.name}" if case.target is None else f"{case.target}"
    return f"{each} gets at most {number} connections at a time", str(peers[0].at or "")


def _is_told_by_inner(case: Case) -> bool:
    """Return whether the gateway that listens on the target says itself which group behind it is full."""
    named = (tally.group for tally in case.joins.tallies_of(Symptom.PEER_LIMIT))
    return bool(case.behind_inner) and any(group in case.joins.groups for group in named)


def summarize(case: Case) -> str:
    """Return the finding in one sentence that names the limit."""
    limit, tally = _limit(case), case.tally(Symptom.PEER_LIMIT)
    if limit is None or tally is None:
        return ""
    return f"{tally.proxy or 'the proxy'} refuses requests because a limit of its own is reached: {limit[0]}"


@rule(80, "max-conns-per-worker", Severity.NOTE)
def limit_per_worker(deployment: Deployment) -> Iterator[Risk]:
    """max_conns is set in a group without `zone`.

    Each worker process then counts separately, so the backend gets up to that number from each of them.
    """
    for group in deployment.upstreams:
        limited = [peer for peer in group.peers if peer.max_conns]
        if limited and not group.zone and deployment.since(1, 9, 0):
            yield risk(
                f"max_conns={limited[0].max_conns} applies to each worker process separately",
                limited[0].at,
                f"add `zone {group.name} 64k;`",
            )


@rule(81, "weight-without-effect", Severity.NOTE, "no-upstream-members")
def weight_alone(deployment: Deployment) -> Iterator[Risk]:
    """Weights are set but have no effect.

    The only server of a group gets all requests whatever its weight. Equal weights have no effect.
    """
    for level in deployment.blocks("upstream"):
        servers = [server for server in level.own("server") if "down" not in server.args and "backup" not in server.args]
        weights = [word for server in servers for word in server.args[1:] if word.startswith("weight=")]
        group = deployment.group_at(level.at)
        if not weights or group is None or weights[0] == "weight=1":
            continue
        if len(servers) == 1 and stands_alone(group.peers):
            yield risk(f"{weights[0]} has no effect: it is the only server", servers[0].at, "remove it")
        elif len(weights) == len(servers) > 1 and len(set(weights)) == 1:
            yield risk(f"all servers have {weights[0]}, which has no effect", servers[0].at, "remove it")


CAUSE = Cause(
    id="upstream-connection-limit",
    layer=Layer.PROXY,
    message="a limit for this backend is reached in the proxy: max_conns, maxconn, a full queue or a full connection pool",
    symptoms={Symptom.PEER_LIMIT: 5.0},
    explains=frozenset({"all-upstreams-down"}),
    outranks=frozenset({"connection-reset", "premature-close"}),
    examine=examine,
    summarize=summarize,
    foresee=(
        limit_per_worker,
        weight_alone,
    ),
)
