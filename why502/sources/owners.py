"""Whose a target is: the listeners behind it, and their processes."""

from __future__ import annotations

from why502.joins import Doors, addresses, peer_sets, takes, targets
from why502.model.snapshot import Snapshot
from why502.model.target import Target

# The last answer, and the sections that it was made of: several sources of one collection ask for the same.
_last: tuple[tuple[object, ...], dict[Target, tuple[int, ...]]] = ((), {})
_wanted: tuple[tuple[object, ...], tuple[Target, ...]] = ((), ())


def wanted(known: Snapshot) -> tuple[Target, ...]:
    """Return every target of a snapshot, as `targets` does: once for all sources that ask in turn, since there may be thousands."""
    global _wanted
    parts = (known.proxies, known.names, known.logs, known.asked)
    last = _wanted
    if len(last[0]) == len(parts) and all(one is other for one, other in zip(last[0], parts, strict=True)):
        return last[1]
    found = targets(known)
    _wanted = (parts, found)
    return found


def owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    """Return, for every target that something on this machine listens on, the processes that hold that socket in order.

    Only sockets count that its proxies can reach: in their own network namespaces, else in ours.
    """
    global _last
    parts = (known.proxies, known.listeners, known.addresses, known.names, known.logs, known.asked)
    last = _last
    if len(last[0]) == len(parts) and all(one is other for one, other in zip(last[0], parts, strict=True)):
        return last[1].copy()
    found = _owners(known)
    _last = (parts, found)
    return found.copy()


def _owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    doors = Doors(known.listeners or ())
    heard = {target: ones for target in wanted(known) if (ones := doors.near(target))}
    networks: dict[Target, set[str]] = {}
    for proxy in known.proxies or ():
        reached = {target for peers in peer_sets(proxy.routes) for peer in peers for target in addresses(peer, known)}
        for target in reached & heard.keys():
            networks.setdefault(target, set()).add(proxy.network)
    found: dict[Target, tuple[int, ...]] = {}
    for target, near in heard.items():
        if not (target.is_unix or target.is_loopback or known.addresses is None or target.host in known.addresses):
            continue
        ones = [one for one in near if takes(one, target) and (target.is_unix or one.network in networks.get(target, {""}))]
        if ones:
            found[target] = tuple(sorted({pid for one in ones for pid in one.pids}))
    return found
