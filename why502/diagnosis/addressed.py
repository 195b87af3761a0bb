"""Addresses in place of host names in the facts of logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from why502.model.logs import Symptom, TargetTraffic
from why502.model.snapshot import Lookup, Snapshot
from why502.model.target import Target

_OF_NAMES = frozenset({Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED})  # these are about the name itself


def addressed(here: Snapshot) -> Snapshot:
    """Return the snapshot. If a log names a server by host name and port, its address takes their place: the one that the gateway
    reports for that server, else the only one that the name has now.

    HAProxy logs only the label of a server, and its configuration may contain a host name. Listeners, probes, services and routes
    are known by their address. A gateway may still use an address that the name had when it was started.
    """
    logs = here.logs
    named = {tally.target for tally in logs.tallies} | {traffic.target for traffic in logs.targets} if logs else set()
    used = _used(here)
    known = {
        target: found
        for target in named
        if target is not None and (found := used.get(target) or _address(target, here)) is not None
    }
    if logs is None or not known:
        return here
    tallies = tuple(
        replace(tally, target=known[tally.target])
        if tally.target is not None and tally.target in known and tally.symptom not in _OF_NAMES
        else tally
        for tally in logs.tallies
    )
    moved = (replace(traffic, target=known.get(traffic.target, traffic.target)) for traffic in logs.targets)
    return replace(here, logs=replace(logs, tallies=tallies, targets=_merged(moved)))


def _used(here: Snapshot) -> dict[Target, Target]:
    """Return the address that a gateway connects to for each host name of its configuration or log, as far as it says so.

    It may have looked the name up long ago.
    """
    found: dict[Target, set[Target]] = {}
    views = {f"{view.group}/{view.name}": view.target for proxy in here.proxies or () for view in proxy.peers}
    labels = [(peer.target, f"{g.name}/{peer.label}") for p in here.proxies or () for g in p.upstreams for peer in g.peers]
    labels += [(tally.target, tally.group) for tally in (here.logs.tallies if here.logs else ())]
    for named, label in labels:
        used = views.get(label)
        if named is not None and not named.is_address and used is not None and used.is_address:
            found.setdefault(named, set()).add(used)
    return {name: next(iter(addresses)) for name, addresses in found.items() if len(addresses) == 1}


def _address(target: Target, here: Snapshot) -> Target | None:
    """Return the only address of a host name with its port; None for an address, a bare name and a name with several."""
    if target.is_address or not target.port:
        return None
    found = {
        address
        for name in here.names or ()
        if name.name == target.host and name.outcome is Lookup.OK and not name.network
        for address in name.addresses
    }
    return Target(host=found.pop(), port=target.port) if len(found) == 1 else None


def _merged(every: Iterable[TargetTraffic]) -> tuple[TargetTraffic, ...]:
    """Return the figures, those of one target summed."""
    found: dict[Target, TargetTraffic] = {}
    for one in every:
        other = found.setdefault(one.target, one)
        if other is not one:
            found[one.target] = replace(
                one,
                attempts=one.attempts + other.attempts,
                failures=one.failures + other.failures,
                last_success=max((at for at in (one.last_success, other.last_success) if at), default=None),
                response_p95_s=max((s for s in (one.response_p95_s, other.response_p95_s) if s is not None), default=None),
                statuses=dict(Counter(one.statuses) + Counter(other.statuses)),
            )
    return tuple(found.values())
