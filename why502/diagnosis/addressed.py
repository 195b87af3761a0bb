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
    """Return the snapshot. If a log names a server by host name and port, and the name has exactly one address now, the address
    takes its place.

    HAProxy logs only the label of a server, and its configuration may contain a host name. Listeners, probes, services and routes
    are known by their address.
    """
    logs = here.logs
    named = {tally.target for tally in logs.tallies} | {traffic.target for traffic in logs.targets} if logs else set()
    known = {target: found for target in named if target is not None and (found := _address(target, here)) is not None}
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
