"""Failures that appear in both of Apache's logs, counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from why502.gateways.apache.codes import PRODUCT
from why502.gateways.apache.config.load import SHARED
from why502.gateways.apache.config.workers import member
from why502.gateways.error_logs import read_error_log
from why502.gateways.tallies import without
from why502.model.config import Position, Route
from why502.model.logs import LogSummary, PathTraffic, Sample, Symptom, Tally
from why502.model.patterns import lazy
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.request_line import path_of
from why502.model.target import Target
from why502.model.times import whole_number

COUNTS_ONCE = True  # matching needs addresses that other settings provide
REQUESTS = 8  # maximum per tally
UNFIT = 9
MAINTENANCE = "MAINT"  # as in the messages of other gateways: somebody took a member out
_NAME = lazy(r"(?:DNS lookup failure for: |[Cc]ould not resolve )(\S{1,255})")
_LIMITS = {Symptom.READ_TIMED_OUT: "timeout", Symptom.CONNECT_TIMED_OUT: "connectiontimeout"}
_STATUSES = (Symptom.GATEWAY_STATUS, Symptom.UPSTREAM_STATUS)


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with each failure of Apache counted once: its error log has no request by which to find the access
    line.

    Each error-log failure accounts for one access line with a server error, best matching status first. The remaining ones are
    joined only if unambiguous: if all lines of one request, status and target belong to one failure, it gets these requests.
    """
    tallies = _of_sockets(summary.tallies, [proxy for proxy in proxies if proxy.kind == "apache"])
    explained: Counter[tuple[str, int | None]] = Counter()
    for place, failure in enumerate(tallies):
        if failure.proxy != "apache" or failure.symptom in (*_STATUSES, Symptom.APPLICATION_ERROR) or not failure.is_failure:
            continue
        left, again = failure.count, []
        for other in sorted(_access_lines(tallies, failure), key=lambda at: _fit(failure, tallies[at])):
            taken = min(left, tallies[other].count)
            left -= taken
            if taken:
                again.append((other, taken))
        whole = [at for at, taken in again if taken == tallies[at].count]
        if failure.status is None and not failure.requests and again and len(whole) == len(again):
            requests = Counter(dict(pair for at in whole for pair in tallies[at].requests)).most_common(REQUESTS)
            statuses = {tallies[at].status for at in whole}
            tallies[place] = replace(failure, requests=tuple(requests), status=statuses.pop() if len(statuses) == 1 else None)
        for at, taken in again:
            explained[tallies[at].server, tallies[at].status] += taken
            tallies[at] = without(tallies[at], taken)
    own = [proxy for proxy in proxies if proxy.kind == "apache"]
    is_alone = len(own) == len(proxies)  # other gateways write lines of the same form
    tallies = [
        _named(_of_application(tally, own, summary) if is_alone and not _is_remainder(tally, explained) else tally, own)
        for tally in tallies
        if tally.count
    ]
    views = [view for proxy in own for view in proxy.peers]
    tallies += [*_of_views(tallies, views), *_of_shared_workers(tallies, own)]
    return replace(summary, tallies=tuple(tallies), paths=_without_own(summary.paths, tallies))


def _of_sockets(tallies: Iterable[Tally], own: list[Proxy]) -> list[Tally]:
    """Return the failures with the unix socket as their target where httpd calls it by the URL behind it: of the worker
    `unix:/run/app.sock|http://app/`, the error log knows `app:80` only.

    Where several sockets share a URL, the one on which the access log has server errors is meant; if several have, none is named.
    """
    found = list(tallies)
    called: dict[Target, set[Target]] = {}
    for peer in (peer for proxy in own for route in proxy.routes for peer in route.peers):
        name = member(peer.name.rpartition("|")[2])
        if peer.target is not None and name is not None:
            called.setdefault(name, set()).add(peer.target)
    failing = {tally.target for tally in found if tally.proxy == "apache" and tally.symptom in _STATUSES}
    for place, tally in enumerate(found):
        meant = called.get(tally.target, set()) if tally.target and tally.proxy == "apache" else set()
        if not any(target.is_unix for target in meant):
            continue
        left = meant if len(meant) == 1 else meant & failing
        found[place] = replace(tally, target=left.pop() if len(left) == 1 else None)
    return found


def _of_application(tally: Tally, proxies: list[Proxy], summary: LogSummary) -> Tally:
    """Return a status that no message of httpd explains as the backend's own: httpd logs a message for each that it makes itself.

    That holds where its error log was read, no rule answers with that status, and no other gateway could have logged it: the
    lines of several products look alike.
    """
    if tally.symptom is not Symptom.GATEWAY_STATUS or tally.status is None or not proxies:
        return tally
    answers = {answer.status for proxy in proxies for answer in proxy.answers}
    if not all(read_error_log(proxy, summary) for proxy in proxies) or tally.status in answers:
        return tally
    ends = {
        peer.target
        for proxy in proxies
        for route in proxy.routes
        if not tally.server or tally.server in (route.server, *route.server_names)
        for peer in route.peers
        if not peer.is_down
    }
    target = tally.target or (ends.pop() if len(ends) == 1 else None)
    if target is None:
        return tally
    return replace(tally, symptom=Symptom.UPSTREAM_STATUS, proxy="apache", target=target, named="upstream-error-status")


def _is_remainder(tally: Tally, explained: Mapping[tuple[str, int | None], int]) -> bool:
    """Return whether messages of the error log explain at least as many responses of the same status as a tally still has.

    The time of an access line is that of its request's begin, so the window has requests whose message came after its end.
    """
    return tally.count <= explained.get((tally.server, tally.status), 0)


def _named(tally: Tally, proxies: list[Proxy]) -> Tally:
    """Return a failed look-up with the backend of that name as its target: the message has no port."""
    if tally.proxy != "apache" or tally.symptom is not Symptom.NAME_NOT_FOUND or tally.target is not None:
        return tally
    match = _NAME.search(tally.detail)
    ends = {
        peer.target
        for proxy in proxies
        for route in proxy.routes
        for peer in route.peers
        if match and peer.target is not None and peer.target.host == match[1]
    }
    return replace(tally, target=ends.pop(), detail=match[1]) if match and len(ends) == 1 else tally


def _of_views(tallies: list[Tally], views: list[PeerView]) -> list[Tally]:
    """Return what mod_status says of the members of a balancer without any left, where no message says why.

    mod_proxy_hcheck logs nothing about a failed check at the usual level.
    """
    empty = {tally.group for tally in tallies if tally.symptom is Symptom.NO_LIVE_UPSTREAMS and tally.proxy == "apache"}
    failed = {tally.target for tally in tallies if tally.is_failure}
    symptoms = {
        PeerState.DOWN: Symptom.HEALTH_CHECK_STATUS,
        PeerState.MAINTENANCE: Symptom.PEER_DISABLED,
        PeerState.DRAINING: Symptom.PEER_DISABLED,
    }
    return [
        Tally(
            symptom=symptoms[view.state],
            proxy="apache",
            group=view.group,
            target=view.target,
            code=view.check or MAINTENANCE,
            detail=view.reason,
            is_notice=symptoms[view.state] is Symptom.PEER_DISABLED,
            samples=(Sample(source=view.source, text=f"{view.name}: {view.check} {view.reason}".rstrip()),),
        )
        for view in views
        if view.state in symptoms and view.group in empty and view.target is not None and view.target not in failed
    ]


def _of_shared_workers(tallies: list[Tally], proxies: list[Proxy]) -> list[Tally]:
    """Return a notice for each target whose timeouts come from another route's worker than the one that was requested.

    The route sets a longer limit, which httpd ignores because an earlier route made the worker. It logs so only at level info.
    """
    late = {tally.target: tally for tally in tallies if tally.proxy == "apache" and tally.symptom in _LIMITS and tally.target}
    found: dict[tuple[Target, Position | None], Tally] = {}
    for route in (route for proxy in proxies for route in proxy.routes):
        shared = route.setting(SHARED)
        for peer in route.peers if shared else ():
            tally = late.get(peer.target) if peer.target else None
            if tally is None or shared is None or peer.target is None or not _asked_below(tally, route):
                continue
            name = _LIMITS[tally.symptom]
            wanted = next((word for word in shared.args[1:] if word.partition("=")[0] == name), "")
            in_force_s = route.read_timeout_s if name == "timeout" else route.connect_timeout_s
            wanted_s = whole_number(wanted.partition("=")[2], 7)
            if wanted_s is not None and wanted_s > in_force_s:
                message = (
                    f"{wanted} at {route.at} is ignored: the worker of {shared.at} has {in_force_s:g} s, and takes its requests"
                )
                found[peer.target, route.at] = Tally(
                    symptom=Symptom.WORKER_SHARING,
                    proxy="apache",
                    target=peer.target,
                    detail=message,
                    named="proxy-worker-sharing",
                    is_notice=True,
                    first=tally.first,
                    last=tally.last,
                    samples=(Sample(source=str(route.at or ""), text=message),),
                )
    return list(found.values())


def _asked_below(tally: Tally, route: Route) -> bool:
    """Return whether every known request of a tally is below the path of a route."""
    path = route.location.rstrip("/")
    return all(path_of(request).startswith(f"{path}/") for request, _ in tally.requests)


def _without_own(paths: tuple[PathTraffic, ...], tallies: list[Tally]) -> tuple[PathTraffic, ...]:
    """Return the traffic without the 500s that httpd made itself, where it made as many as clients got.

    It answers 500 for failed handshakes and look-ups: see the statuses of `codes`. One request may have several messages.
    """
    own = max((tally.count for tally in tallies if tally.proxy == "apache" and "500" in _status_of(tally)), default=0)
    total = sum(path.statuses.get("500", 0) for path in paths)
    if not 0 < total <= own:
        return paths
    return tuple(
        replace(path, statuses={status: count for status, count in path.statuses.items() if status != "500"}, refused_since=0)
        if "500" in path.statuses
        else path
        for path in paths
    )


def _status_of(tally: Tally) -> str:
    """Return the statuses that clients get with a message, as text; "" if it is not known."""
    found = PRODUCT.codes.get(tally.code)
    return found.status if found else ""


def _access_lines(tallies: list[Tally], failure: Tally) -> list[int]:
    """Return the indices of tallies that only access lines report, for server errors that may belong to a failure."""
    return [
        at
        for at, tally in enumerate(tallies)
        if tally.symptom in _STATUSES
        and tally.status is not None
        and (tally.target in (None, failure.target) or (failure.target is None and tally.proxy == failure.proxy))
        and (
            tally.status == failure.status
            or (failure.status is None and _fit(failure, tally) < UNFIT)
            or _is_of_ajp(failure, tally)
        )
    ]


def _is_of_ajp(failure: Tally, tally: Tally) -> bool:
    """Return whether a 500 access line may belong to a broken exchange with an AJP backend (mod_proxy_ajp.c,
    ap_proxy_ajp_request).
    """
    return failure.protocol == "ajp" and tally.status == 500 and tally.target == failure.target and tally.proxy == failure.proxy


def _fit(failure: Tally, tally: Tally) -> int:
    """Return how well a status fits a failure: 0 is best, UNFIT means it cannot."""
    if failure.status is not None:
        return 0 if failure.status == tally.status else 1
    if "500" in _status_of(failure) and tally.status == 500:
        return 0
    usual = (504, 502, 503) if failure.symptom is Symptom.READ_TIMED_OUT else (503, 502)
    return usual.index(tally.status) if tally.status in usual else UNFIT
