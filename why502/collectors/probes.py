"""Sends probes: to every target as the proxy would, and to the proxy itself if it failed (`probes`).

The numbers of targets, of requests per target, of concurrent requests and of seconds are bounded; failing targets come first.
Only safe methods are sent, never a visitor's query, and never to an address that no running proxy is configured for. A proxy's
own listener is probed only once, as a visitor would, because a request to it may loop.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.collectors.owners import wanted
from why502.diagnosis.homes import Homes
from why502.diagnosis.listening import Doors, frozen, takes
from why502.diagnosis.targets import addresses, peer_sets
from why502.host.base import Host
from why502.host.trust import only_user
from why502.model.config import Peer, Route
from why502.model.errors import Denied, HostError, Why502Error
from why502.model.logs import Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import Proxy
from why502.model.request_line import uri_of
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target
from why502.probing.entrance import of_route, of_url
from why502.probing.plan import fits, harmful, has_answered, only_upgrades, plan
from why502.probing.probe import probe
from why502.probing.request import Request

SECTION = "probes"
NEEDS = ("dependencies", "networks")  # dependencies are examined before a request of ours keeps a worker busy
LIMIT_S = 9.0  # a probe takes milliseconds; one of a silent server about 6 s, in parallel with the others
TARGETS = 64
REQUESTS_PER_TARGET = 4
CONSIDERED = 256  # maximum targets per route
ALIKE = 4  # maximum routes considered per healthy target, among those that send it the same request
AT_ONCE = 16
BEGIN_WITHIN_S = 3.0  # no probe starts later; running ones end by their own limits
ENTRANCES = 8
PATIENT_S = 5.0  # longer wait for a first byte, once: it distinguishes a slow backend from a hung one
STOPPED_S = 0.5  # wait if all listening processes are stopped by a signal
SPARED = "{request} was not repeated, because it may have caused its own failure; {asked}"
WOULD_START = "{target} was not probed: systemd listens there for a service that is not running, and a connection would start it"
INIT = 1  # the pid of systemd
ALLOW = "give a harmless request with --url"


_NONE: Counter[object] = Counter()
End = tuple[str, Target]  # the network namespace of a proxy, and an address there


@dataclass(frozen=True, slots=True)
class Job:
    """One request, its route, and how often that route failed according to the logs."""

    request: Request
    proxy: Proxy
    route: Route
    failures: int = 0
    is_upgraded: bool = False  # the route has only WebSocket requests


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Probe, ...]]:
    """Return each target's current response. Never raises: an impossible probe is a gap."""
    if options.offline or not options.probes:
        return Found(None, (Gap(source=SECTION, reason="not probed: " + ("--offline" if options.offline else "--no-probe")),))
    if known.proxies is None:
        return Found(None, (Gap(source=SECTION, reason="no proxy could be examined, so its targets are unknown"),))
    jobs, gaps = chosen(known)
    waiting = activated(known)
    gaps += [Gap(source=SECTION, reason=WOULD_START.format(target=target), hint=ALLOW) for target in _targets_of(jobs) & waiting]
    jobs = _with_short_waits([job for job in jobs if job.request.target not in waiting], frozenset(frozen(known)))
    begun = time.monotonic()
    named, refused = _named(options.urls, known.proxies)
    entrances = list(_entrances([job for job in jobs if job.failures], known))
    found, missed = _run(host, [*named, *(job.request for job in jobs if not is_own(job, known)), *entrances], begun)
    failing = {(x.target, x.route_at) for x in found if x.symptom and not x.through_proxy}
    later = [job for job in jobs if (job.request.target, job.request.route_at) in failing]
    more, still = _run(host, [x for x in _entrances(later, known) if x not in entrances][:ENTRANCES], begun)
    return Found((*found, *more), (*gaps, *refused, *missed, *still))


def activated(known: Snapshot) -> frozenset[Target]:
    """Return the targets that only systemd listens on, for a stopped service: a connection would start it (systemd.socket(5)).

    Containers and users may have a systemd of their own.
    """
    managers = {INIT, *(process.pid for process in known.processes or () if process.name == "systemd")}
    doors = Doors(known.listeners or ())
    found = {target: [one for one in doors.near(target) if takes(one, target)] for target in wanted(known)}
    return frozenset(
        target for target, ones in found.items() if ones and all(one.pids and managers.issuperset(one.pids) for one in ones)
    )


def _targets_of(jobs: list[Job]) -> frozenset[Target]:
    return frozenset(job.request.target for job in jobs)


def _with_short_waits(jobs: list[Job], stopped: frozenset[Target]) -> list[Job]:
    """Return the jobs, with a short wait for targets known to be stopped by a signal."""
    short = msgspec.structs.replace
    return [
        replace(job, request=short(job.request, answer_s=STOPPED_S)) if job.request.target in stopped else job for job in jobs
    ]


def chosen(known: Snapshot) -> tuple[list[Job], list[Gap]]:
    """Return one job for each target, protocol, Host and SNI, failing ones first, within the limits; and the number left out."""
    every: dict[tuple[object, ...], Job] = {}
    gaps: dict[str, str] = {}
    ends: dict[End, None] = {}
    for job in sorted(possible(known, gaps, ends), key=lambda job: -job.failures):
        request = job.request
        where = (request.network_of, request.address or request.target)
        every.setdefault((where, request.protocol, request.host, request.tls), job)
    counts: Counter[End] = Counter()
    kept: list[Job] = []
    for job in every.values():
        end = (job.proxy.network, job.request.target)
        if end not in counts and len(counts) >= TARGETS:
            continue
        if counts[end] < REQUESTS_PER_TARGET:
            counts[end] += 1
            kept.append(job)
    if len(counts) >= TARGETS and (left := ends.keys() - counts.keys()):
        gaps[f"{len(left)} of {len(left) + len(counts)} targets were not probed: the limit is {TARGETS}"] = ""
    return kept, [Gap(source=SECTION, reason=reason, hint=hint) for reason, hint in gaps.items()]


def possible(
    known: Snapshot, gaps: dict[str, str], every: dict[End, None], *, most: int = TARGETS, repeats: bool = True
) -> Iterator[Job]:
    """Yield the possible jobs; of healthy targets no more than `most`. `every` collects all of them, `gaps` reasons and hints.

    `repeats`: requests that failed according to the logs may be repeated (see `plan`).
    """
    considered = max(most, CONSIDERED)
    planned: dict[End, Counter[object]] = {}
    tallies = _Tallies(known)
    for proxy in known.proxies or ():
        if not proxy.is_running:
            continue
        ends = {id(peers): _targets(peers, known) for peers in peer_sets(proxy.routes)}
        every.update(dict.fromkeys((proxy.network, target) for targets in ends.values() for target in targets))
        near = {  # failing targets first, then as many others as are probed
            peers: tuple(dict.fromkeys((*(t for t in targets if t in tallies.by_target), *targets[:most])))[:considered]
            for peers, targets in ends.items()
        }
        suppliers = {file.path: file.owner_uid for file in proxy.files if file.owner_uid}
        for route in proxy.routes:
            shape = (route.server_at, route.directive, route.protocol, route.host_header, route.http_version, route.proxy_host)
            for target in near[id(route.peers)]:
                failures = sorted(tallies.failures(route, target), key=lambda tally: -tally.count) if repeats else []
                end = (proxy.network, target)
                is_known = end in planned or len(planned) < most
                if not failures and not (is_known and planned.get(end, _NONE)[shape] < ALIKE):
                    continue
                planned.setdefault(end, Counter())[shape] += 1
                uid = _supplier(proxy, suppliers, route, target)
                failures = [tally for tally in failures if tally.owner_uid == uid]
                is_upgraded = not failures and only_upgrades(known, route)
                request = plan(proxy, route, target, failures, harmful(known, target), only_upgrades=is_upgraded)
                greets = request.only_connects and not has_answered(known, target, route)
                request = msgspec.structs.replace(request, greets=greets, owner_uid=uid, answer_s=PATIENT_S)
                if not target.is_unix:
                    request = msgspec.structs.replace(request, network_of=proxy.away)
                if request.spared:
                    gaps[SPARED.format(request=request.spared, asked=_words(request))] = ALLOW
                yield Job(request, proxy, route, sum(tally.count for tally in failures), is_upgraded)


def _targets(peers: tuple[Peer, ...], known: Snapshot) -> tuple[Target, ...]:
    """Return the present addresses of peers, and those in the log under their names: an old one may still be in use."""
    configured = [target for peer in peers if not peer.is_down for target in addresses(peer, known)]
    ports = {peer.target.port for peer in peers if peer.target and not peer.target.is_address}
    logged = [
        tally.target
        for tally in (_tallies(known) if ports else ())
        if tally.target and tally.target.is_address and tally.target.port in ports
    ]
    return tuple(dict.fromkeys((*configured, *(target for target in logged if not target.is_unix))))


class _Tallies:
    """The tallies of a snapshot by target, and those without one by group."""

    def __init__(self, known: Snapshot) -> None:
        self.by_target: dict[Target, list[Tally]] = {}
        self.by_group: dict[str, list[Tally]] = {}
        for tally in _tallies(known):
            if tally.target is not None:
                self.by_target.setdefault(tally.target, []).append(tally)
            elif tally.group:
                self.by_group.setdefault(tally.group, []).append(tally)

    def failures(self, route: Route, target: Target) -> Iterator[Tally]:
        """Yield the failures that may belong to a route: those of its target or group, and of its server and location if
        known.
        """
        for tally in (*self.by_target.get(target, ()), *self.by_group.get(route.upstream or "", ())):
            paths = [uri_of(request) for request, _ in tally.requests]
            is_here = not tally.server or not route.server_names or tally.server in (route.server, *route.server_names)
            if is_here and not tally.is_passed_on and (not paths or any(fits(route, path) for path in paths)):
                yield tally


def _words(request: Request) -> str:
    return "no other request was sent instead" if request.only_connects else f"{request.method} {request.path} was sent instead"


def _supplier(proxy: Proxy, suppliers: dict[str, int], route: Route, target: Target) -> int:
    """Return the user who makes the proxy connect to a target: the supplier of the route, or of the peer in its group; NOBODY
    if
    they differ.
    """
    places = [peer.at for peer in route.peers if peer.target == target and peer.at is not None] if suppliers else []
    return proxy.owner_uid or only_user({suppliers.get(place.file, 0) for place in (route.at, *places) if place is not None})


def _tallies(known: Snapshot) -> tuple[Tally, ...]:
    return known.logs.tallies if known.logs else ()


def is_own(job: Job, known: Snapshot) -> bool:
    """Return whether the target is a listener of the same proxy that proxies to it."""
    target = job.request.target
    is_here = Homes(known).of(target, job.proxy.network) == job.proxy.network
    return any(
        listen == target or (listen.port == target.port and listen.is_wildcard and is_here) for listen in job.proxy.listens
    )


def _entrances(jobs: Iterable[Job], known: Snapshot) -> list[Request]:
    """Return one request through the proxy for each route, at most ENTRANCES."""
    found: dict[tuple[object, ...], Request] = {}
    tallies = _Tallies(known)
    for job in jobs:
        if len(found) >= ENTRANCES or job.is_upgraded:
            continue
        failures = sorted(tallies.failures(job.route, job.request.target), key=lambda tally: -tally.count)
        failures = [tally for tally in failures if tally.owner_uid == job.request.owner_uid]
        request = of_route(job.route, failures, harmful(known, job.request.target))
        if request is not None and not _listens_elsewhere(job, request.target, known):
            request = msgspec.structs.replace(request, owner_uid=job.request.owner_uid, network_of=job.proxy.away)
            found.setdefault((request.network_of, request.target, request.url), request)
    return list(found.values())


def _listens_elsewhere(job: Job, entrance: Target, known: Snapshot) -> bool:
    """Return whether a route does not say where it listens, and its proxy does not listen on the usual port, as far as its
    configuration says where it listens, else its processes.
    """
    pids = set(job.proxy.pids)
    doors = job.proxy.listens or [one.target for one in known.listeners or () if pids & set(one.pids)]
    return not job.route.listens and bool(doors) and entrance.port not in {door.port for door in doors}


def _named(urls: Iterable[str], proxies: Iterable[Proxy]) -> tuple[list[Request], list[Gap]]:
    """Return the requests for the URLs given by the user, and the URLs that lead to no proxy here."""
    requests, gaps = [], []
    for url in urls:
        try:
            requests.append(of_url(url, proxies))
        except Why502Error as error:
            gaps.append(Gap(source=SECTION, reason=error.message, hint=error.hint))
    return requests, gaps


def check_rights(request: Request, found: Probe) -> None:
    """Raise Denied if a refusal only shows what the supplier of the configuration may do, not what the proxy's workers may."""
    if request.owner_uid and found.symptom is Symptom.CONNECT_DENIED:
        raise Denied(
            f"user {request.owner_uid}, who can change the configuration that names it, has no permission to connect to it"
        )


def _run(host: Host, requests: list[Request], begun: float) -> tuple[list[Probe], list[Gap]]:
    """Return the probes, in the requests' order, and gaps for those that were not possible."""

    def one(request: Request) -> Probe | Gap:
        if time.monotonic() - begun > BEGIN_WITHIN_S:
            return Gap(source=SECTION, reason=f"{request.target} was not probed: the probe time budget was used up")
        try:
            found = probe(host.acting_as(request.owner_uid), request)
            check_rights(request, found)
            return found
        except HostError as error:
            return Gap(source=SECTION, reason=f"{request.target} could not be probed: {error.reason}", hint=error.hint)

    if not requests:
        return [], []
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="probe") as pool:
        done = list(pool.map(one, requests))
    return [x for x in done if isinstance(x, Probe)], [x for x in done if isinstance(x, Gap)]
