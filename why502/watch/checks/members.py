"""From the configuration in force to what is checked: one request for each address of each member of each group.

A visitor's request is never repeated: the location's own prefix is asked, or the path that the user sets. Of several routes to
a member the one nearest to "/" is taken, because a check is sent for as long as the daemon runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from why502.collectors.probes import Job, activated, is_own, possible
from why502.diagnosis.listening import Doors, takes
from why502.diagnosis.targets import addresses
from why502.gateways.behaviour import behaviour
from why502.model.config import Peer
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Lookup, Resolution, Snapshot
from why502.model.target import Target
from why502.probing.plan import harmful, plan
from why502.probing.request import Request
from why502.watch.checks.settings import Checks, TargetCheck

MOST = 2000  # members that are checked
NO_PROBE = "not checked: --no-probe"
OFF = "its checks are turned off in the settings"
ACTIVATED = "systemd listens there for a service that is not running, and a connection would start it"
LOOP = "it is a listener of the same proxy, and a request to it may loop"
NO_ROUTE = "no route leads to it"
UNRESOLVED = {
    Lookup.NOT_FOUND: Symptom.NAME_NOT_FOUND,
    Lookup.NO_ADDRESS: Symptom.NAME_NOT_FOUND,
    Lookup.FAILED: Symptom.NAME_SERVER_FAILED,
    Lookup.TIMED_OUT: Symptom.NAME_SERVER_FAILED,
}
UNANSWERED = (Lookup.FAILED, Lookup.TIMED_OUT)
_INIT = 1  # the pid of systemd


@dataclass(frozen=True, slots=True)
class MemberKey:
    """One member as the proxy sees it: each address of a name is one. `group`: "" if the route names the address itself."""

    proxy: str
    group: str
    peer: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What is sent to one member. Without a request, `reason` says why nothing is sent, or `symptom` what is wrong already.

    `name`: as configured. `requests_s`: its own requests per second, None if unknown. `listeners`: those that systemd holds
    too, so that whether the service runs is looked at before each check.
    """

    key: MemberKey
    name: str
    request: Request | None = None
    reason: str = ""
    symptom: Symptom | None = None
    expected: TargetCheck | None = None
    requests_s: float | None = None
    listeners: tuple[Listener, ...] = ()


def planned(known: Snapshot, settings: Checks, *, is_probing: bool = True) -> tuple[Planned, ...]:
    """Return the checks of all members of the running proxies, at most MOST: in the order of the configuration, those of our own
    network namespace first.

    A check is made in the namespace of its proxy, because the same address is another server elsewhere. Where proxies of one kind
    name the same address in several namespaces, only the first is checked: their requests are counted together, too.
    """
    jobs = _jobs(known)
    waiting, doors, rates = activated(known), Doors(known.listeners or ()), _rates(known)
    found: dict[MemberKey, Planned] = {}
    for proxy, group, peer in _peers(known):
        ends = addresses(peer, known)
        if not ends and (unresolved := _unresolved(proxy, group, peer, known)):
            found.setdefault(unresolved.key, unresolved)
        for address in ends:
            key = MemberKey(proxy.kind, group, address)
            if key in found or len(found) >= MOST:
                continue
            expected, job = settings.of(group, peer.name, address), jobs.get((proxy.network, key))
            one = Planned(key=key, name=peer.name, expected=expected, requests_s=rates.get(address, 0.0) if rates else None)
            reason = _reason(one, job, known, settings, waiting, is_probing=is_probing)
            if reason or job is None:
                found[key] = replace(one, reason=reason)
            else:
                held = tuple(door for door in doors.near(address) if takes(door, address) and _INIT in door.pids)
                found[key] = replace(one, request=_request(job, known, settings, expected), listeners=held)
    return tuple(found.values())


def refreshed(known: Snapshot, fresh: Iterable[Resolution]) -> Snapshot:
    """Return the snapshot with what names resolve to now, as far as its proxies use that.

    A gateway that resolved a name when it loaded its configuration goes on with those addresses; and where name servers do not
    answer, the last addresses stay.
    """
    kept = _kept_names(known)
    before = {one.name for one in known.names or () if one.addresses}
    asked = tuple(fresh)
    stays = {one.name for one in asked if one.name in before and (one.name in kept or one.outcome in UNANSWERED)}
    stays |= before - {one.name for one in asked}
    names = (*(one for one in known.names or () if one.name in stays), *(one for one in asked if one.name not in stays))
    return msgspec.structs.replace(known, names=names)


def has_names(known: Snapshot) -> bool:
    """Return whether a member is known by a name."""
    return any(peer.target is not None and not peer.target.is_address for _, _, peer in _peers(known))


def _kept_names(known: Snapshot) -> set[str]:
    """Return the names that a gateway resolved once."""
    return {
        peer.target.host
        for proxy in known.proxies or ()
        if proxy.is_running and behaviour(proxy.kind).keeps_addresses
        for route in proxy.routes
        if not route.has_variables
        for peer in route.peers
        if peer.target is not None and not peer.target.is_address and not peer.resolves
    }


def _reason(
    one: Planned,
    job: Job | None,
    known: Snapshot,
    settings: Checks,
    waiting: frozenset[Target],
    *,
    is_probing: bool,
) -> str:
    """Return why a member must not be asked; "" if it may be."""
    if not is_probing:
        return NO_PROBE
    if settings.off or (one.expected is not None and one.expected.off):
        return OFF
    if one.key.peer in waiting:
        return ACTIVATED
    if job is None:
        return NO_ROUTE
    return LOOP if is_own(job, known) else ""


def _peers(known: Snapshot) -> Iterator[tuple[Proxy, str, Peer]]:
    """Yield the peers that a running proxy uses, those of a group once."""
    for proxy in sorted(known.proxies or (), key=lambda proxy: bool(proxy.network)):
        seen: set[int] = set()
        for route in proxy.routes if proxy.is_running else ():
            if id(route.peers) in seen:
                continue
            seen.add(id(route.peers))
            yield from ((proxy, route.upstream or "", peer) for peer in route.peers if peer.target and not peer.is_down)


def _jobs(known: Snapshot) -> dict[tuple[str, MemberKey], Job]:
    """Return the job of each member, by the network namespace of its proxy: that of the route nearest to "/"."""
    found: dict[tuple[str, MemberKey], Job] = {}
    for job in possible(known, {}, {}, most=MOST, repeats=False):
        key = job.proxy.network, MemberKey(job.proxy.kind, job.route.upstream or "", job.request.target)
        before = found.get(key)
        if before is None or len(job.request.path) < len(before.request.path):
            found[key] = job
    return found


def _request(job: Job, known: Snapshot, settings: Checks, expected: TargetCheck | None) -> Request:
    request = job.request
    path = expected.path if expected else ""
    if path:
        made = plan(job.proxy, job.route, request.target, (), harmful(known, request.target), given=path)
        request = msgspec.structs.replace(made, owner_uid=request.owner_uid)
    limit_s = (expected.timeout_s if expected else None) or settings.timeout_s
    return msgspec.structs.replace(
        request,
        connect_s=min(request.connect_s, limit_s),
        answer_s=limit_s,
        greets=False,
        wanted=expected.body if expected else "",
    )


def _unresolved(proxy: Proxy, group: str, peer: Peer, known: Snapshot) -> Planned | None:
    """Return the check of a name that has no address: what its lookup said."""
    if peer.target is None or peer.target.is_address:
        return None
    lookups = [lookup for lookup in known.names or () if (lookup.name, lookup.network) == (peer.target.host, proxy.network)]
    symptom = next((UNRESOLVED[lookup.outcome] for lookup in lookups if lookup.outcome in UNRESOLVED), None)
    detail = next((lookup.detail for lookup in lookups if lookup.detail), "")
    reason = detail if symptom else f"the addresses of {peer.target.host} are unknown"
    return Planned(key=MemberKey(proxy.kind, group, peer.target), name=peer.name, symptom=symptom, reason=reason)


def _rates(known: Snapshot) -> dict[Target, float]:
    """Return the requests per second of each target that the access logs show; {} if they show none."""
    if known.logs is None or not known.logs.has_access or known.since is None:
        return {}
    seconds = ((known.until or known.taken_at) - known.since).total_seconds()
    return {one.target: one.attempts / seconds for one in known.logs.targets} if seconds > 0 else {}
