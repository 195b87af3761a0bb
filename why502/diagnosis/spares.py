"""The addresses that no client needs now: backup members, choices of a variable, second addresses of a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from why502.diagnosis.answering import answered
from why502.diagnosis.targets import addresses, is_choice, peer_sets, routes
from why502.gateways.behaviour import behaviour
from why502.model.config import Position, Route
from why502.model.logs import Symptom, Tally
from why502.model.snapshot import Snapshot
from why502.model.target import Target

MAINTENANCE = "MAINT"  # HAProxy: by its runtime API, "is going DOWN for maintenance"
_BAD_GATEWAY = "502"


def idle_spares(snapshot: Snapshot) -> frozenset[Target]:
    """Return the addresses that are only backup members, one of several values of a variable, or taken out of a group with other
    members by its gateway's administrator, and that no client needs now.

    No client's request failed on them. A failure of our own request through the proxy there says nothing about clients,
    because its Host header is made up.
    """
    every = routes(snapshot)
    possible = {id(route.peers) for route in every if is_choice(route)} if _is_used(snapshot) else set()
    chosen = {id(route.peers) for route in every if id(route.peers) in possible and not is_choice(route)}
    unheard_of, away = made_good(snapshot) | _second_addresses(snapshot), _taken_out(snapshot)
    if not possible and not away and not any(peer.is_backup for peers in peer_sets(every) for peer in peers):
        return unheard_of
    needed: set[Target | None] = set(snapshot.asked)
    spare: set[Target] = set()
    for peers in peer_sets(every):
        is_possible = id(peers) in possible - chosen
        is_served = not away.issuperset(target for peer in peers for target in addresses(peer, snapshot))
        for peer in peers:
            found = addresses(peer, snapshot)
            if peer.is_backup or is_possible or (is_served and found and away.issuperset(found)):
                spare.update(found)
            elif peer.target is not None:
                needed.update((peer.target, *found))
    return frozenset(spare - needed - _failed(snapshot)) | unheard_of


def _is_used(snapshot: Snapshot) -> bool:
    """Return whether the logs show requests: without them it is unknown which values of a variable clients reach."""
    return snapshot.logs is not None and snapshot.logs.requests > 0


def _failed(snapshot: Snapshot) -> set[Target | None]:
    """Return the targets with a failure in the logs."""
    return {tally.target for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.is_failure}


def _second_addresses(snapshot: Snapshot) -> frozenset[Target]:
    """Return the addresses that accept no connection while another one of the same name does, of a gateway that goes on to it.

    `localhost` is ::1 and 127.0.0.1, and most applications listen on one of them. No request failed on these addresses.
    """
    alive, failed = answered(snapshot), _failed(snapshot)
    sets = (
        addresses(peer, snapshot)
        for peers in peer_sets(_moving_on(snapshot))
        for peer in peers
        if peer.target is not None and not peer.target.is_address
    )
    found = {target for each in sets if alive.intersection(each) for target in each}
    return frozenset(found - alive - failed - set(snapshot.asked))


def _moving_on(snapshot: Snapshot) -> tuple[Route, ...]:
    """Return the routes on which a connection that one address of a name refuses is tried at the name's next address."""
    return tuple(
        route
        for route in routes(snapshot)
        if behaviour(route.proxy).tries_each_address and (not route.next_upstream or "error" in route.next_upstream)
    )


def _taken_out(snapshot: Snapshot) -> frozenset[Target]:
    """Return the servers that an administrator set to maintenance while the gateway ran, according to its log."""
    tallies = snapshot.logs.tallies if snapshot.logs else ()
    is_out = (tally for tally in tallies if tally.symptom is Symptom.PEER_DISABLED and tally.code == MAINTENANCE)
    return frozenset(tally.target for tally in is_out if tally.target is not None)


def made_good(snapshot: Snapshot) -> frozenset[Target]:
    """Return the addresses that refuse connections while another address of the same name serves all their requests.

    The author of the configuration sees the name as one peer (`localhost` is ::1 and 127.0.0.1). The gateway tries its next
    address at once, and no client notices. The access log proves that: it has those requests, and no 502 without another
    explanation.
    """
    logs = snapshot.logs
    if logs is None or not logs.has_access:
        return frozenset()
    failures: dict[Target, list[Tally]] = {}
    for tally in (each for each in logs.tallies if each.is_failure):
        if tally.target is not None:
            failures.setdefault(tally.target, []).append(tally)
    refused = {target for target, found in failures.items() if all(each.symptom is Symptom.CONNECT_REFUSED for each in found)}
    ways = _moving_on(snapshot) if refused else ()
    alive = answered(snapshot)
    return frozenset(target for target in refused if _is_made_good(target, ways, snapshot, failures, alive))


def _is_made_good(
    target: Target, ways: Iterable[Route], snapshot: Snapshot, failures: Mapping[Target, list[Tally]], alive: frozenset[Target]
) -> bool:
    """Return whether other addresses of the same names answer our requests, and the access log shows no client that got a 502
    because of this address.
    """
    places, others = set[Position | None](), set[Target]()
    for route in ways:
        for peer in route.peers:
            found = addresses(peer, snapshot) if peer.target is not None and not peer.target.is_address else ()
            if target in found:
                places.add(route.at)
                others.update(found)
    others.discard(target)
    if not others & alive or target in snapshot.asked:
        return False
    paths = [path for path in (snapshot.logs.paths if snapshot.logs else ()) if path.at in places or path.at is None]
    served = max((path.last_served for path in paths if path.last_served), default=None)
    explained = sum(
        tally.count for other in failures.keys() - {target} for tally in failures[other] if str(tally.status) == _BAD_GATEWAY
    )
    last = max((tally.last for tally in failures[target] if tally.last), default=None)
    is_served = served is not None and last is not None and served >= last
    return is_served and sum(path.statuses.get(_BAD_GATEWAY, 0) for path in paths) <= explained
