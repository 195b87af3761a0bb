"""Facts about logged failures from HAProxy's configuration and its other log lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from why502.gateways.haproxy.codes import CHECKS
from why502.gateways.haproxy.logs import NAME, meaning_of_check
from why502.gateways.haproxy.rules import MISSING
from why502.gateways.haproxy.states import COUNTERS, MAINTENANCE, NO_ADDRESS, NO_ANSWER
from why502.model.logs import LogSummary, Sample, Symptom, Tally, TargetTraffic
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.target import Target
from why502.model.times import whole_number

COUNTS_ONCE = False
_CHECKS = frozenset(short for short, _, _ in CHECKS.values())
_NEEDS_DETAILS = ("L7RSP",)  # not HTTP, or without the content that the check expects: only the details tell
_CONNECT_CHECKS = ("L4CON", "SOCKERR")
_CONNECT_SYMPTOMS = frozenset(
    {Symptom.CONNECT_DENIED, Symptom.HOST_UNREACHABLE, Symptom.SOCKET_PATH_MISSING, Symptom.CONNECT_RESET, Symptom.NO_LOCAL_PORT}
)
_NAMELESS = {NO_ADDRESS: Symptom.NAME_NOT_FOUND, NO_ANSWER: Symptom.NAME_SERVER_FAILED}
_DENIED = (Symptom.OWN_STATUS, Symptom.DENIED_BY_RULE)
_SERVER_ERROR = 500
_FORBIDDEN = 403  # a refusal intended by the rule's author
_NO_SERVER = "/<NOSRV>"  # in the place of a server's name


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with the addresses of members that the log identifies only by name (`backend/server`)."""
    mine = [proxy for proxy in proxies if proxy.kind == "haproxy"]
    known = members_of(mine)
    elsewhere = _checked_elsewhere(mine)
    views = [view for proxy in mine for view in proxy.peers]
    present = list(_of_views(summary.tallies, views))
    outdated = {tally.group for tally in present}
    logged = (t for t in summary.tallies if not (t.proxy == "haproxy" and t.code in _CHECKS and t.group in outdated))
    every = (*logged, *present)
    named = [_named(_of_the_check(tally, elsewhere), known) if tally.proxy == "haproxy" else tally for tally in every]
    tallies = _named_by_checks(_unread(_decided(_without_status(named, summary, mine), mine), mine))
    return replace(summary, tallies=tuple(_caught(tallies, summary.targets)))


def members_of(proxies: Iterable[Proxy]) -> dict[str, Target]:
    """Return the address of each HAProxy server by name (`backend/server`)."""
    return {
        f"{group.name}/{peer.label}": peer.target
        for proxy in proxies
        for group in proxy.upstreams
        for peer in group.peers
        if proxy.kind == "haproxy" and peer.label and peer.target is not None
    }


def _of_views(tallies: Iterable[Tally], views: Iterable[PeerView]) -> Iterator[Tally]:
    """Yield what HAProxy says at present about the servers of a group without any left, where no line of the log says the same.

    A server that is down for one reason, and then for another, has a line about the first one only.
    """
    every = list(tallies)
    empty = {tally.group.removesuffix(_NO_SERVER) for tally in every if tally.symptom is Symptom.NO_LIVE_UPSTREAMS}
    logged: dict[str, set[str]] = {}
    reasons: dict[str, set[str]] = {}
    for tally in every:
        if tally.code in (*_CHECKS, MAINTENANCE):
            logged.setdefault(tally.group, set()).add(tally.code)
            reasons.setdefault(tally.group, set()).add(tally.detail.partition(",")[0])
    for view in views:
        name = f"{view.group}/{view.name}"
        if view.group not in empty:
            continue
        words = next((words for words, (code, _, _) in CHECKS.items() if code == view.check), None)
        status = next((int(part) for part in view.reason.split(", ") if len(part) == 3 and whole_number(part)), None)
        code, symptom = meaning_of_check(words, view.reason, status)
        told = logged.get(name, set())
        if told and (code is None or {code.code, MAINTENANCE} & told):
            continue
        is_vague = view.reason == words  # while the next check is under way, its last one has no details (src/check.c)
        if is_vague and words in reasons.get(name, ()):
            continue
        if is_vague and symptom is None and view.check in _NEEDS_DETAILS:
            symptom = Symptom.HEALTH_CHECK_FAILED
        is_taken_out = view.state is PeerState.MAINTENANCE or (view.state is PeerState.DRAINING and not view.reason)
        if view.check in _NAMELESS:
            symptom = _NAMELESS[view.check]
        elif is_taken_out:
            symptom = Symptom.PEER_DISABLED
        elif view.state not in (PeerState.DOWN, PeerState.EJECTED) or code is None:
            continue
        symptom = symptom or (code.symptom if code else None)
        if symptom is not None:
            yield Tally(
                symptom=symptom,
                proxy="haproxy",
                group=name,
                target=view.target,
                code=code.code if code else MAINTENANCE,
                detail=view.target.host if view.check == NO_ADDRESS and view.target else view.reason,
                is_notice=is_taken_out,
                samples=(Sample(source=view.source, text=f"{name}: {view.check or view.state} {view.reason}".rstrip()),),
            )


def _checked_elsewhere(proxies: Iterable[Proxy]) -> dict[str, Target]:
    """Return where the checks of servers connect, by name (`backend/server`), if that is not the server's own address."""
    return {
        f"{group.name}/{peer.label}": peer.checked_at
        for proxy in proxies
        for group in proxy.upstreams
        for peer in group.peers
        if peer.checked_at is not None
    }


def _of_the_check(tally: Tally, elsewhere: dict[str, Target]) -> Tally:
    """Return a failed check of another address than the server's own (`port`, `addr`) as a failure of the check: it says nothing
    about the server.
    """
    if tally.code not in _CHECKS or tally.group not in elsewhere:
        return tally
    detail = f"it connects to {elsewhere[tally.group]}: {tally.detail}"
    return replace(tally, symptom=Symptom.HEALTH_CHECK_STATUS, detail=detail, named="")


def _named(tally: Tally, known: dict[str, Target]) -> Tally:
    """Return a tally with its server's address; for a request that reached no server, with only the backend's name."""
    if tally.group.endswith(_NO_SERVER):
        return replace(tally, group=tally.group.removesuffix(_NO_SERVER))
    return replace(tally, target=known[tally.group]) if tally.target is None and tally.group in known else tally


def _without_status(tallies: list[Tally], summary: LogSummary, proxies: list[Proxy]) -> list[Tally]:
    """Return the tallies with what the runtime socket's counters add where no line of the log has a status (`option tcplog`).

    5xx of HAProxy's own are those of a rule, if the log has no failed connection and all rules of the frontend that answer 5xx
    have one status. Else it is unknown why it answered so. Lines with a status tell more than the counters.
    """
    counted = [tally for tally in tallies if tally.proxy == "haproxy" and tally.source == COUNTERS]
    rest = [tally for tally in tallies if not (tally.proxy == "haproxy" and tally.source == COUNTERS)]
    if summary.by_status:
        return rest
    has_lines = any(file.lines for file in summary.files if file.format == NAME)
    for tally in counted:
        if tally.symptom is not Symptom.OWN_STATUS:
            rest.append(tally)
            continue
        statuses = {
            rule.status
            for proxy in proxies
            for rule in proxy.answers
            if rule.server == tally.group and rule.status >= _SERVER_ERROR and not rule.is_of_responses
        }
        refused = [one for one in rest if one.proxy == "haproxy" and one.group == tally.group and one.symptom in _DENIED]
        if not has_lines or len(statuses) != 1 or any(not one.code.startswith("PR") for one in refused):
            rest.append(replace(tally, symptom=Symptom.GATEWAY_STATUS))
            continue
        status = statuses.pop()
        if not refused:
            rest.append(replace(tally, status=status))
            continue
        rest = [one for one in rest if one not in refused]
        samples, count = (*refused[0].samples, *tally.samples), sum(one.count for one in refused)
        rest.append(replace(refused[0], symptom=Symptom.OWN_STATUS, status=status, named="", count=count, samples=samples))
    return rest


def _decided(tallies: list[Tally], proxies: list[Proxy]) -> list[Tally]:
    """Return the tallies with the configuration's explanation of requests that HAProxy sent to no server.

    A `listen` section logs its own name in the place of the backend's, too: it had no server left. If a frontend chose no
    backend, the name in its map may have no section. The others were denied by a rule: if all rules with that status count a
    rate, the limit was exceeded; if they all select clients or requests, the rule refused these.
    """
    groups = {group.name for proxy in proxies for group in proxy.upstreams}
    empty = {group.name: group.at for proxy in proxies for group in proxy.upstreams if not group.peers}
    groups |= {x.group for x in tallies if x.proxy == "haproxy" and x.symptom is Symptom.NO_LIVE_UPSTREAMS}
    lost = {route.server: route for proxy in proxies for route in proxy.routes if route.directive == MISSING}
    rules = [answer for proxy in proxies for answer in proxy.answers]

    def decided(tally: Tally) -> Tally:
        if tally.symptom is Symptom.NO_LIVE_UPSTREAMS and tally.group in empty:
            message = f"backend {tally.group} at {empty[tally.group]} has no server"
            return replace(tally, symptom=Symptom.NO_MEMBERS, detail=message, named="no-upstream-members")
        if tally.symptom is Symptom.ROUTE_MISSING and tally.group in groups:
            return replace(tally, symptom=Symptom.NO_LIVE_UPSTREAMS, named="all-upstreams-down")
        if tally.symptom is Symptom.ROUTE_MISSING and (route := lost.get(tally.group)):
            message = f"{route.at} names {route.passes}, and no section has that name"
            return replace(tally, symptom=Symptom.ROUTE_TARGET_MISSING, detail=message, named="route-target-missing")
        if tally.symptom in _DENIED and tally.code.startswith("PR") and tally.status != _FORBIDDEN:
            fitting = [rule for rule in rules if rule.server == tally.group and rule.status == (tally.status or 0)]
            if fitting and all(rule.if_conditions for rule in fitting):
                first = f"{fitting[0].at}: if {fitting[0].if_conditions[0]}"
                if all(rule.is_limit for rule in fitting):
                    return replace(tally, symptom=Symptom.RATE_LIMITED, detail=first, named="rate-limited")
                if all(rule.is_of_some for rule in fitting):
                    return replace(tally, symptom=Symptom.OWN_STATUS, detail=first, named="denied-by-rule")
        return tally

    return [decided(tally) if tally.proxy == "haproxy" else tally for tally in tallies]


def _unread(tallies: list[Tally], proxies: list[Proxy]) -> list[Tally]:
    """Return the tallies with the reason why a response was rejected: the log has one state, PH, for a response that could not
    be read and for one that a rule refused. The runtime socket keeps the last one that could not be read (`show errors`).
    """
    views = {f"{view.group}/{view.name}": view for proxy in proxies for view in proxy.peers if view.rejected is not None}
    groups = {group.name for proxy in proxies for group in proxy.upstreams}
    rules = [answer for proxy in proxies for answer in proxy.answers if answer.is_of_responses]

    def read(tally: Tally) -> Tally:
        if tally.proxy != "haproxy" or not tally.code.startswith("PH") or tally.symptom is not Symptom.HEADER_INVALID:
            return tally
        view = views.get(tally.group)
        if view is not None and view.rejected:
            return replace(tally, detail=tally.detail or view.rejected)
        rule = next((each for each in rules if each.server == tally.group.partition("/")[0] or each.server not in groups), None)
        if rule is None:
            return tally
        if view is None:
            return replace(tally, symptom=Symptom.GATEWAY_STATUS, named="")
        message = f"{rule.at}: if {' '.join(rule.if_conditions) or 'always'}"
        return replace(tally, symptom=Symptom.OWN_STATUS, target=None, group="", detail=message, named="denied-by-rule")

    return [read(tally) for tally in tallies]


def _named_by_checks(tallies: list[Tally]) -> list[Tally]:
    """Return the tallies with the failed connections of requests named as in the checks of the same server.

    A request line holds no errno: `SC` is every connection that failed at once (doc/configuration.txt, "Session state at
    disconnection").
    """
    reported: dict[Target, set[Symptom]] = {}
    for tally in tallies:
        if tally.proxy == "haproxy" and tally.target is not None and tally.code in _CONNECT_CHECKS:
            reported.setdefault(tally.target, set()).add(tally.symptom)
    sole = {target: next(iter(symptoms)) for target, symptoms in reported.items() if len(symptoms) == 1}
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


def _caught(tallies: list[Tally], targets: Iterable[TargetTraffic]) -> list[Tally]:
    """Return the tallies; failed checks become notices if they worked as intended: no request failed, and the server is back."""
    is_felt = any(tally.proxy == "haproxy" and tally.is_failure and tally.code not in _CHECKS for tally in tallies)
    served = {each.target: each.last_success for each in targets if each.last_success is not None and not each.failures}

    def is_over(tally: Tally) -> bool:
        since = served.get(tally.target) if tally.target else None
        return tally.proxy == "haproxy" and tally.code in _CHECKS and bool(since and tally.last and since > tally.last)

    return tallies if is_felt else [replace(tally, is_notice=True) if is_over(tally) else tally for tally in tallies]
