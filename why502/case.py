"""Case: the snapshots as seen from one target, with every join between their sections."""

from __future__ import annotations

from why502.model.config import Peer, Route
from why502.model.snapshot import Snapshot
from why502.model.target import Target


def addresses(peer: Peer, snapshot: Snapshot) -> tuple[Target, ...]:
    """Return the addresses that a peer means: its own, or those that its name resolves to now (none when unknown)."""
    if peer.target is None:
        return ()
    if peer.target.is_address:
        return (peer.target,)
    return tuple(
        dict.fromkeys(
            Target(host=address, port=peer.target.port)
            for name in snapshot.names or ()
            if name.name == peer.target.host
            for address in name.addresses
        )
    )


def routes(snapshot: Snapshot) -> tuple[Route, ...]:
    """Return the routes of all proxies."""
    return tuple(route for proxy in snapshot.proxies or () for route in proxy.routes)


def targets(snapshot: Snapshot) -> tuple[Target, ...]:
    """Return every address that some proxy is configured to connect to, or that its logs say it did."""
    configured = (
        target
        for route in routes(snapshot)
        for peer in route.peers
        if not peer.is_down
        for target in addresses(peer, snapshot)
    )
    logged = (tally.target for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.target is not None)
    return tuple(dict.fromkeys((*configured, *logged)))
