"""Configurations given by the user that are not a complete nginx configuration: other gateways, and fragments of nginx.

They are read from their file alone; none of their processes is looked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from why502.diagnosis.index import is_failure
from why502.gateways import detect
from why502.gateways.haproxy.codes import CHECKS
from why502.gateways.haproxy.rules import MISSING
from why502.gateways.nginx import config as nginx
from why502.gateways.running import by_kind
from why502.host.base import Host
from why502.machine.suppliers import Rights, supplier_of
from why502.model.errors import HostError
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.snapshot import Gap, Proxy
from why502.model.target import Target

_LIMIT = 4 << 20
_CHECKS = frozenset(short for short, _, _ in CHECKS.values())
_CONNECT_CHECKS = ("L4CON", "SOCKERR")
_CONNECT_SYMPTOMS = frozenset(
    {Symptom.CONNECT_DENIED, Symptom.HOST_UNREACHABLE, Symptom.SOCKET_PATH_MISSING, Symptom.CONNECT_RESET, Symptom.NO_LOCAL_PORT}
)
_STATUSES = (Symptom.GATEWAY_STATUS, Symptom.UPSTREAM_STATUS)
_DENIED = (Symptom.OWN_STATUS, Symptom.DENIED_BY_RULE)
_FORBIDDEN = 403  # a refusal that its rule's author meant
REQUESTS = 8  # that a tally lists
UNFIT = 9
_NO_SERVER = "/<NOSRV>"  # in the place of a server's name
_PASS = re.compile(r"^[ \t]*(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass[ \t]+\S", re.MULTILINE)
_MEMBER = re.compile(r"^[ \t]*server[ \t]+[\w.:\[\]/-]++[^{}\n]*;", re.MULTILINE)


def given(host: Host, config: str, gaps: list[Gap]) -> Proxy | None:
    """Return the proxy that the file is a configuration of; None for one of nginx, or where it cannot be read."""
    try:
        text = host.read(config, limit_bytes=_LIMIT).decode("utf-8", "surrogateescape")
    except HostError:
        return None  # nginx's own reader says why
    kind = detect.kind(text)
    if kind is None or kind not in by_kind():
        return None
    found = by_kind()[kind].load(text, config)
    if not found.routes:
        gaps.append(
            Gap(source=config, reason=f"it contains no backend of {kind}", hint="give the file that contains its servers")
        )
    owner_uid = supplier_of(host, config)
    return Proxy(
        kind=kind,
        config=config,
        files=found.files,
        routes=found.routes,
        upstreams=found.upstreams,
        answers=found.answers,
        owner_uid=owner_uid,
    )


def part(host: Host, config: str) -> Proxy | None:
    """Return the nginx that directives of a location, or members of an upstream, without any block around them belong to."""
    try:
        content = host.read(config, limit_bytes=_LIMIT)
    except HostError:
        return None
    text = content.decode("latin-1")
    around = b"location / { " if _PASS.search(text) else b"upstream given { " if _MEMBER.search(text) else b""
    if not around:
        return None
    rights = Rights(host, supplier_of(host, config))
    found = nginx.load(
        lambda path: around + content + b"\n}\n" if path == config else rights.read(path),
        rights.own.list,
        config,
        "/",
        rights=rights.reading,
    )
    if not found.routes and not found.upstreams:
        return None
    return Proxy(
        config=config,
        files=found.files,
        routes=found.routes,
        upstreams=found.upstreams,
        servers=found.servers,
        owner_uid=rights.owner_uid,
    )


def addressed(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with the addresses of those members that HAProxy's log calls by their names only (`backend/server`)."""
    known = members_of(proxies) | _sole_members(proxies)
    named = [_named(tally, known) for tally in summary.tallies]
    decided = _decided(named, [proxy for proxy in proxies if proxy.kind == "haproxy"])
    tallies = _told_by_checks(decided)
    return replace(summary, tallies=tuple(_caught(tallies, summary.targets)))


def members_of(proxies: Iterable[Proxy]) -> dict[str, Target]:
    """Return by name (`backend/server`) the address of each server of HAProxy."""
    return {
        f"{group.name}/{peer.label}": peer.target
        for proxy in proxies
        for group in proxy.upstreams
        for peer in group.peers
        if proxy.kind == "haproxy" and peer.label and peer.target is not None
    }


def _sole_members(proxies: tuple[Proxy, ...]) -> dict[str, Target]:
    """Return by name the address of each backend of Varnish; not of directors."""
    return {
        group.name: group.peers[0].target
        for proxy in proxies
        for group in proxy.upstreams
        if proxy.kind == "varnish" and len(group.peers) == 1 and group.peers[0].target is not None
    }


def _caught(tallies: list[Tally], targets: Iterable[TargetTraffic]) -> list[Tally]:
    """Return the tallies, of HAProxy's failed checks as notices where they did their work: no request failed,
    and the server serves again.
    """
    is_felt = any(tally.proxy == "haproxy" and is_failure(tally) and tally.code not in _CHECKS for tally in tallies)
    served = {each.target: each.last_success for each in targets if each.last_success is not None and not each.failures}

    def is_over(tally: Tally) -> bool:
        since = served.get(tally.target) if tally.target else None
        return tally.proxy == "haproxy" and tally.code in _CHECKS and bool(since and tally.last and since > tally.last)

    return tallies if is_felt else [replace(tally, is_notice=True) if is_over(tally) else tally for tally in tallies]


def _told_by_checks(tallies: list[Tally]) -> list[Tally]:
    """Return the tallies with the failed connections of HAProxy's requests named as its checks of the same server name theirs.

    A line of a request holds no errno: `SC` is every connection that failed at once (doc/configuration.txt, "Session state at
    disconnection").
    """
    told: dict[Target, set[Symptom]] = {}
    for tally in tallies:
        if tally.proxy == "haproxy" and tally.target is not None and tally.code in _CONNECT_CHECKS:
            told.setdefault(tally.target, set()).add(tally.symptom)
    sole = {target: next(iter(symptoms)) for target, symptoms in told.items() if len(symptoms) == 1}
    return [
        replace(tally, symptom=sole[tally.target], detail=tally.detail or "according to its health check")
        if tally.proxy == "haproxy"
        and tally.symptom is Symptom.CONNECT_REFUSED
        and tally.code.startswith("SC")
        and tally.target in sole
        and sole[tally.target] in _CONNECT_SYMPTOMS
        else tally
        for tally in tallies
    ]


def _decided(tallies: list[Tally], proxies: list[Proxy]) -> list[Tally]:
    """Return the tallies with what the configuration tells of the requests that HAProxy sent to no server.

    A `listen` section has its own name in the place of the backend's, too: it had no server left. A frontend chose no backend:
    the name in its map may be one that no section has. A rule denied the rest: where all that deny with that status count a rate,
    that was the limit.
    """
    groups = {group.name for proxy in proxies for group in proxy.upstreams}
    groups |= {x.group for x in tallies if x.proxy == "haproxy" and x.symptom is Symptom.NO_LIVE_UPSTREAMS}
    lost = {route.server: route for proxy in proxies for route in proxy.routes if route.directive == MISSING}
    rules = [answer for proxy in proxies for answer in proxy.answers]

    def decided(tally: Tally) -> Tally:
        if tally.symptom is Symptom.ROUTE_MISSING and tally.group in groups:
            return replace(tally, symptom=Symptom.NO_LIVE_UPSTREAMS, named="all-upstreams-down")
        if tally.symptom is Symptom.ROUTE_MISSING and (route := lost.get(tally.group)):
            message = f"{route.at} names {route.passes}, and no section has that name"
            return replace(tally, symptom=Symptom.ROUTE_TARGET_MISSING, detail=message, named="route-target-missing")
        if tally.symptom in _DENIED and tally.code.startswith("PR") and tally.status != _FORBIDDEN:
            fitting = [rule for rule in rules if rule.server == tally.group and rule.status == (tally.status or 0)]
            if fitting and all(rule.is_limit for rule in fitting):
                rule = f"{fitting[0].at}: if {fitting[0].if_conditions[0]}"
                return replace(tally, symptom=Symptom.RATE_LIMITED, detail=rule, named="rate-limited")
        return tally

    return [decided(tally) if tally.proxy == "haproxy" else tally for tally in tallies]


def _named(tally: Tally, known: dict[str, Target]) -> Tally:
    """Return a tally with its server's address; one of a request that came to no server, with the name of the backend alone."""
    if tally.proxy == "varnish":  # of a sick backend it is not the address that failed
        is_named = tally.target is None and tally.symptom is not Symptom.NO_LIVE_UPSTREAMS
        return replace(tally, target=known[tally.group]) if is_named and tally.group in known else tally
    if tally.proxy != "haproxy":
        return tally
    if tally.group.endswith(_NO_SERVER):
        return replace(tally, group=tally.group.removesuffix(_NO_SERVER))
    return replace(tally, target=known[tally.group]) if tally.target is None and tally.group in known else tally


def once(summary: LogSummary) -> LogSummary:
    """Return the summary with each failure of Apache counted once: its error log has no request to find the access line by.

    Of the access lines with a server error, as many are of the failures that the error log tells of as there are such: those of
    the status that fits first. What is left of neither log's doubt is joined: where all lines of one request, status and target
    are of one failure, that has these requests.
    """
    tallies = list(summary.tallies)
    for place, told in enumerate(tallies):
        if told.proxy != "apache" or told.symptom in (*_STATUSES, Symptom.APPLICATION_ERROR) or not is_failure(told):
            continue
        left, again = told.count, []
        for other in sorted(_access_lines(tallies, told), key=lambda at: _fit(told, tallies[at])):
            taken = min(left, tallies[other].count)
            left -= taken
            if taken:
                again.append((other, taken))
        whole = [at for at, taken in again if taken == tallies[at].count]
        if told.status is None and not told.requests and again and len(whole) == len(again):
            requests = Counter(dict(pair for at in whole for pair in tallies[at].requests)).most_common(REQUESTS)
            statuses = {tallies[at].status for at in whole}
            tallies[place] = replace(told, requests=tuple(requests), status=statuses.pop() if len(statuses) == 1 else None)
        for at, taken in again:
            tallies[at] = _without(tallies[at], taken)
    return replace(summary, tallies=tuple(tally for tally in tallies if tally.count))


def _without(tally: Tally, taken: int) -> Tally:
    """Return a tally with fewer lines; no request was seen more often than these."""
    left = tally.count - taken
    return replace(tally, count=left, requests=tuple((request, min(count, left)) for request, count in tally.requests))


def _access_lines(tallies: list[Tally], told: Tally) -> list[int]:
    """Return the places of what access lines alone tell of server errors that may be those of a failure."""
    return [
        at
        for at, tally in enumerate(tallies)
        if tally.symptom in _STATUSES
        and tally.status is not None
        and tally.target in (None, told.target)
        and (tally.status == told.status or (told.status is None and _fit(told, tally) < UNFIT) or _is_of_ajp(told, tally))
    ]


def _is_of_ajp(told: Tally, tally: Tally) -> bool:
    """Return whether an access line of a 500 may be of a broken exchange with an AJP backend (mod_proxy_ajp.c,
    ap_proxy_ajp_request).
    """
    return told.protocol == "ajp" and tally.status == 500 and tally.target == told.target and tally.proxy == told.proxy


def _fit(told: Tally, tally: Tally) -> int:
    """Return how well a status fits a failure: 0 is best, UNFIT not at all."""
    if told.status is not None:
        return 0 if told.status == tally.status else 1
    usual = (504, 502, 503) if told.symptom is Symptom.READ_TIMED_OUT else (503, 502)
    return usual.index(tally.status) if tally.status in usual else UNFIT
