"""Configurations that the user gave and that are no whole one of nginx: of other gateways, and parts without the blocks around them.

They are read from their file alone; none of their processes is looked for.
"""

from __future__ import annotations

import re
from collections import Counter

from msgspec.structs import replace

from why502.config import apache, detect, haproxy, nginx
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.snapshot import Gap, Proxy
from why502.model.target import Target
from why502.sources.suppliers import Rights, supplier_of

_READERS = {"haproxy": haproxy.load, "apache": apache.load}
_LIMIT = 4 << 20
_OF_TARGETS = frozenset(
    {
        Symptom.GATEWAY_STATUS,
        Symptom.UPSTREAM_STATUS,
        Symptom.CONNECT_REFUSED,
        Symptom.CONNECT_TIMED_OUT,
        Symptom.READ_TIMED_OUT,
        Symptom.CLOSED_BEFORE_HEADER,
        Symptom.RESET_BEFORE_HEADER,
        Symptom.CLOSED_IN_BODY,
        Symptom.RESET_IN_BODY,
        Symptom.HEADER_INVALID,
        Symptom.CLIENT_CLOSED,
    }
)
_CONNECT_CHECKS = ("L4CON", "SOCKERR")
_CONNECT_SYMPTOMS = frozenset(
    {Symptom.CONNECT_DENIED, Symptom.HOST_UNREACHABLE, Symptom.SOCKET_PATH_MISSING, Symptom.CONNECT_RESET, Symptom.NO_LOCAL_PORT}
)
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
    if kind not in _READERS:
        return None
    found = _READERS[kind](text, config)
    if not found.routes:
        gaps.append(Gap(source=config, why=f"no backend of {kind} stands in it", allow="name the file that holds its servers"))
    owner_uid = supplier_of(host, config)
    return Proxy(kind=kind, config=config, files=found.files, routes=found.routes, upstreams=found.upstreams, owner_uid=owner_uid)


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
    known: dict[str, Target] = {
        f"{group.name}/{peer.label}": peer.target
        for proxy in proxies
        for group in proxy.upstreams
        for peer in group.peers
        if proxy.kind == "haproxy" and peer.label and peer.target is not None
    }
    ends = {peer.target for proxy in proxies if proxy.kind == "caddy" for route in proxy.routes for peer in route.peers}
    only = ends.pop() if len(ends) == 1 else None
    tallies = _told_by_checks([_named(tally, known) for tally in summary.tallies])
    return replace(summary, tallies=tuple(_placed(tally, only) if only and only.is_address else tally for tally in tallies))


def _told_by_checks(tallies: list[Tally]) -> list[Tally]:
    """Return the tallies with the failed connections of HAProxy's requests named as its checks of the same server name theirs.

    A line of a request holds no errno: `SC` is every connection that failed at once (doc/configuration.txt, "Session state at disconnection").
    """
    told: dict[Target, set[Symptom]] = {}
    for tally in tallies:
        if tally.proxy == "haproxy" and tally.target is not None and tally.code in _CONNECT_CHECKS:
            told.setdefault(tally.target, set()).add(tally.symptom)
    sole = {target: next(iter(symptoms)) for target, symptoms in told.items() if len(symptoms) == 1}
    return [
        replace(tally, symptom=sole[tally.target], detail=tally.detail or "as its health check says")
        if tally.proxy == "haproxy"
        and tally.symptom is Symptom.CONNECT_REFUSED
        and tally.code.startswith("SC")
        and tally.target in sole
        and sole[tally.target] in _CONNECT_SYMPTOMS
        else tally
        for tally in tallies
    ]


def _placed(tally: Tally, only: Target) -> Tally:
    """Return a tally of Caddy's with the only address that it passes requests to: what waits in vain names none in its log."""
    is_of_target = tally.proxy == "caddy" and tally.target is None and tally.symptom in _OF_TARGETS
    return replace(tally, target=only) if is_of_target else tally


def _named(tally: Tally, known: dict[str, Target]) -> Tally:
    """Return a tally with its server's address; one of a request that came to no server, with the name of the backend alone."""
    if tally.proxy != "haproxy":
        return tally
    if tally.group.endswith(_NO_SERVER):
        return replace(tally, group=tally.group.removesuffix(_NO_SERVER))
    return replace(tally, target=known[tally.group]) if tally.target is None and tally.group in known else tally


def once(summary: LogSummary) -> LogSummary:
    """Return the summary with each failure of Apache counted once: its error log has no request to find the access line by.

    Of the access lines with a status, as many are of the failures that the error log tells of as there are such.
    """
    told: Counter[int] = Counter()
    for tally in summary.tallies:
        if tally.proxy == "apache" and tally.symptom is not Symptom.GATEWAY_STATUS and tally.status is not None:
            told[tally.status] += tally.count
    if not told:
        return summary
    tallies = []
    for tally in summary.tallies:
        if tally.symptom is not Symptom.GATEWAY_STATUS or tally.target is not None or tally.status is None:
            tallies.append(tally)
            continue
        again = min(told[tally.status], tally.count)
        told[tally.status] -= again
        if tally.count > again:
            tallies.append(replace(tally, count=tally.count - again))
    return replace(summary, tallies=tuple(tallies))
