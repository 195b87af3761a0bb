"""Whose a target is: the listeners behind it, and their processes."""

from __future__ import annotations

from why502.joins import accepts, addresses, targets
from why502.model.snapshot import Listener, Proxy, Snapshot
from why502.model.target import Target


def listeners(target: Target, known: Snapshot) -> tuple[Listener, ...]:
    """Return the listening sockets of this machine that take connections to the target, from where its proxies are."""
    is_here = target.is_unix or target.is_loopback or known.addresses is None or target.host in known.addresses
    networks = {proxy.network for proxy in known.proxies or () if _leads_to(proxy, target, known)} or {""}
    return tuple(
        one
        for one in known.listeners or ()
        if is_here and accepts(one.target, target, one.only_v6) and (target.is_unix or one.network in networks)
    )


def owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    """Return, for every target that something on this machine listens on, the processes that hold that socket in order."""
    found = {target: listeners(target, known) for target in targets(known)}
    return {target: tuple(sorted({pid for one in ones for pid in one.pids})) for target, ones in found.items() if ones}


def _leads_to(proxy: Proxy, target: Target, known: Snapshot) -> bool:
    return any(target in addresses(peer, known) for route in proxy.routes for peer in route.peers)
