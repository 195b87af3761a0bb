"""The owners of each target: its listeners and their processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from why502.diagnosis.homes import Homes
from why502.diagnosis.listening import Doors, takes
from why502.diagnosis.targets import addresses, peer_sets, targets
from why502.model.snapshot import Snapshot
from why502.model.target import Target

T = TypeVar("T")
# The last result of each function with the sections it was computed from: several sources of one collection need the same.
_last: dict[object, tuple[tuple[object, ...], object]] = {}


def _once(derive: Callable[[Snapshot], T], known: Snapshot, parts: tuple[object, ...]) -> T:
    """Return a function's result for these sections of a snapshot, cached while they are the same objects."""
    before, answer = _last.get(derive, ((), None))
    if len(before) == len(parts) and all(one is other for one, other in zip(before, parts, strict=True)):
        return cast(T, answer)
    found = derive(known)
    _last[derive] = (parts, found)
    return found


def wanted(known: Snapshot) -> tuple[Target, ...]:
    """Return every target of a snapshot, as `targets` does. Cached for all sources, since there may be thousands."""
    return _once(targets, known, (known.proxies, known.names, known.logs, known.asked))


def owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    """Return, for every target with a listener on this machine, the processes that hold that socket, in order.

    Only sockets that its proxies can reach count: those in their network namespaces, else in ours.
    """
    parts = (known.proxies, known.listeners, known.addresses, known.networks, known.names, known.logs, known.asked)
    return _once(_owners, known, parts).copy()


def _owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    doors = Doors(known.listeners or ())
    listening = {target: ones for target in wanted(known) if (ones := doors.near(target))}
    homes = Homes(known)
    networks: dict[Target, set[str]] = {}
    for proxy in known.proxies or ():
        reached = {target for peers in peer_sets(proxy.routes) for peer in peers for target in addresses(peer, known)}
        for target in reached & listening.keys():
            if (home := homes.of(target, proxy.network)) is not None:
                networks.setdefault(target, set()).add(home)
    found: dict[Target, tuple[int, ...]] = {}
    for target, near in listening.items():
        is_ours = target.is_unix or target.is_loopback or known.addresses is None or target.host in known.addresses
        if not is_ours and target not in networks:
            continue
        within = networks.get(target, {""})
        ones = [one for one in near if (target.is_unix or one.network in within) and takes(one, target)]
        if ones:
            found[target] = tuple(sorted({pid for one in ones for pid in one.pids}))
    return found
