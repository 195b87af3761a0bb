"""Every server of the group is marked failed or down, so there was none to try.

nginx answers 502 at once ("no live upstreams"), for fail_timeout (10 s by default) after max_fails failures (1) of each server. Never in a group of a
single address, except by `down` or max_conns. HAProxy and Apache answer 503.

## Confuse not with
- the causes of the members' own failures: they stand beside this one, and repairing them ends it.
- `maintenance-response`: all members are marked `down` in the configuration.

## Confirm
- The lines just before: which member failed how. `upstream server temporarily disabled` is logged at level warn.

## Fix
- Repair the members. Then, where short bursts disable all of them at once: a larger max_fails, a shorter fail_timeout, max_fails=0 for the last one.

## References
- nginx: src/http/ngx_http_upstream_round_robin.c, ngx_http_upstream_get_peer
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case, addresses
from why502.cause import Cause
from why502.model.finding import LIKELY, WEAK, Evidence, Layer, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.target is not None or not (tally := case.tally(Symptom.NO_LIVE_UPSTREAMS)):
        return
    group = next((g for proxy in case.proxies for g in proxy.upstreams if g.name == tally.group), None)
    if group is None:
        return
    members = {target: peer for peer in group.peers for target in addresses(peer, case.here)}
    failing = {t.target for t in (case.here.logs.tallies if case.here.logs else ()) if t.target in members}
    for target in sorted(failing):
        yield supports(f"member {target} failed by itself", "", 0.5)
    alive = [str(p.target) for p in case.here.probes or () if p.target in members and p.symptom is None and not p.through_proxy]
    if alive:
        yield supports(f"{', '.join(sorted(set(alive)))} would answer now", "probe", WEAK)


CAUSE = Cause(
    id="all-upstreams-down",
    layer=Layer.UPSTREAM,
    says="every server of the group is marked failed or down, so there was none to try",
    symptoms={Symptom.NO_LIVE_UPSTREAMS: LIKELY},
    yields_to=frozenset({"dns-host-not-found", "maintenance-response"}),
    examine=examine,
)
