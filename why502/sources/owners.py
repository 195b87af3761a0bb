"""Whose a target is: the listeners behind it, and their processes."""

from __future__ import annotations

from why502.joins import Doors, addresses, peer_sets, takes, targets
from why502.model.snapshot import Snapshot
from why502.model.target import Target

# The last answer, and the sections that it was made of: several sources of one collection ask for the same.
_last: tuple[tuple[object, ...], dict[Target, tuple[int, ...]]] = ((), {})


def owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    """Return, for every target that something on this machine listens on, the processes that hold that socket in order.

    Only sockets count that its proxies can reach: in their own network namespaces, else in ours.
    """
    global _last  # noqa: PLW0603
    parts = (known.proxies, known.listeners, known.addresses, known.names, known.logs, known.asked)
    last = _last
    if len(last[0]) == len(parts) and all(one is other for one, other in zip(last[0], parts, strict=True)):
        return last[1].copy()
    found = _owners(known)
    _last = (parts, found)
    return found.copy()


def _owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    networks: dict[Target, set[str]] = {}
    for proxy in known.proxies or ():
        for target in {target for peers in peer_sets(proxy.routes) for peer in peers for target in addresses(peer, known)}:
            networks.setdefault(target, set()).add(proxy.network)
    doors = Doors(known.listeners or ())
    found: dict[Target, tuple[int, ...]] = {}
    for target in targets(known):
        if not (target.is_unix or target.is_loopback or known.addresses is None or target.host in known.addresses):
            continue
        ones = [
            one
            for one in doors.near(target)
            if takes(one, target) and (target.is_unix or one.network in networks.get(target, {""}))
        ]
        if ones:
            found[target] = tuple(sorted({pid for one in ones for pid in one.pids}))
    return found
