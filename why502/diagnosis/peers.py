"""What a gateway says about its servers, in words, and where it disagrees with our own probe.

A gateway's word never weighs more than a probe: most products call a server up until a check of theirs says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from why502.gateways.behaviour import behaviour
from why502.model.logs import Tally
from why502.model.probe import Probe
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

OUT = frozenset({PeerState.DOWN, PeerState.EJECTED, PeerState.MAINTENANCE})  # gets no requests
_STATES = {
    PeerState.UP: "up",
    PeerState.DOWN: "down",
    PeerState.EJECTED: "left out after failures",
    PeerState.MAINTENANCE: "in maintenance",
    PeerState.DRAINING: "draining",
}


def views_of(here: Snapshot, target: Target | None) -> Iterator[tuple[Proxy, PeerView]]:
    """Yield what the gateways say about a target."""
    for proxy in here.proxies or ():
        yield from ((proxy, view) for view in proxy.peers if target is not None and view.target == target)


def called_down(here: Snapshot) -> tuple[Target, ...]:
    """Return the targets that a gateway calls down or has left out after failures, whether or not a log tells of them."""
    states = (PeerState.DOWN, PeerState.EJECTED)
    views = (view for proxy in here.proxies or () for view in proxy.peers)
    return tuple(view.target for view in views if view.target is not None and view.state in states)


def is_full(view: PeerView) -> bool:
    """Return whether a server has as much work as it may have, or requests wait for it."""
    return bool(view.queued) or (view.limit is not None and view.active is not None and 0 < view.limit <= view.active)


def is_of_check(tally: Tally) -> bool:
    """Return whether a failure is one of the gateway's own health checks, by its code: clients' requests may be answered."""
    return tally.code.startswith(behaviour(tally.proxy or "").check_codes)


def described(proxy: Proxy, view: PeerView) -> str:
    """Return what a gateway says about a server, as one clause."""
    name = str(view.target or view.name)
    label = f" ({view.group}/{view.name})" if view.group and view.name not in ("", name) else ""
    counts = [
        f"{number} {what}"
        for number, what in ((view.failures, "failures"), (view.active, "active"), (view.queued, "waiting"))
        if number
    ]
    if view.limit and is_full(view):
        counts.append(f"limit {view.limit}")
    why = ": ".join(part for part in (view.check, view.reason) if part)
    state = _STATES.get(view.state, "")
    parts = [part for part in (f"{state} ({why})" if state and why else state or why, ", ".join(counts)) if part]
    return (
        f"{proxy.kind} calls {name}{label} {'; '.join(parts)}" if state else f"{proxy.kind} at {name}{label}: {'; '.join(parts)}"
    )


def contradictions(proxy: Proxy, view: PeerView, probes: Iterable[Probe]) -> Iterator[str]:
    """Yield how our own probes of a server contradict the gateway's view of it."""
    direct = [probe for probe in probes if probe.target == view.target and not probe.through_proxy]
    failed = next((probe for probe in direct if probe.symptom is not None), None)
    answered = next((probe for probe in direct if probe.is_answer), None)
    if view.state is PeerState.UP and failed is not None:
        yield f"{described(proxy, view)}, but a probe failed: {failed.detail or failed.symptom}"
    if view.state in (PeerState.DOWN, PeerState.EJECTED) and answered is not None and failed is None:
        status = f" with {answered.status}" if answered.status else ""
        yield f"{described(proxy, view)}, but it answers a probe{status}"
