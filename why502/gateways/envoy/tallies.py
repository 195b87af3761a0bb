"""Facts about logged failures from Envoy's configuration, and from what its admin interface counts and says of its hosts.

The usual log line names neither the cluster of a request that no host got, nor the reason of a failed connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from why502.gateways.behaviour import connect_limit_s
from why502.gateways.codes import phase_of
from why502.gateways.envoy.config import finder
from why502.model.config import Route, Upstream
from why502.model.logs import LogSummary, Sample, Symptom, Tally
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.request_line import uri_of
from why502.model.target import Target

COUNTS_ONCE = False
_WITHOUT_HOST = frozenset({Symptom.NO_LIVE_UPSTREAMS, Symptom.PEER_LIMIT})
_OF_CONNECTION = frozenset({Symptom.CONNECT_TIMED_OUT, Symptom.TLS_UNVERIFIED, Symptom.TLS_FAILED, Symptom.CONNECT_FAILED})
_OF_HEADER = frozenset({Symptom.HEADER_INVALID, Symptom.CLOSED_BEFORE_HEADER})
_NEARLY = 0.9  # of the connect timeout


@dataclass(slots=True)
class _Facts:
    """What is known of the Envoys besides their logs."""

    proxies: list[Proxy]
    groups: dict[str, Upstream] = field(default_factory=dict)
    views: dict[str, list[PeerView]] = field(default_factory=dict)
    counted: dict[str, list[Tally]] = field(default_factory=dict)  # by group
    limits_s: dict[Target, float] = field(default_factory=dict)  # connect timeouts
    failed: frozenset[Target | None] = frozenset()  # hosts whose own failures are told
    asked: dict[str, Route] = field(default_factory=dict)  # services that are asked about requests, by the kind of their filter

    @classmethod
    def of(cls, proxies: list[Proxy]) -> _Facts:
        """Return the facts."""
        facts = cls(proxies)
        for proxy in proxies:
            facts.groups |= {group.name: group for group in proxy.upstreams}
            for view in proxy.peers:
                facts.views.setdefault(view.group, []).append(view)
            for tally in proxy.counted:
                facts.counted.setdefault(tally.group, []).append(tally)
            for route in proxy.routes:
                if route.location.startswith("@"):
                    facts.asked.setdefault(route.directive, route)
                for peer in route.peers:
                    if peer.target is not None:
                        facts.limits_s[peer.target] = connect_limit_s(route)
        return facts

    def is_told(self, group: str) -> bool:
        """Return whether an admin interface answered for a cluster."""
        return any(proxy.admin and any(each.name == group for each in proxy.upstreams) for proxy in self.proxies)

    def has_failed(self, views: Iterable[PeerView]) -> bool:
        """Return whether the log tells of a host's own failure, which is why it was ejected."""
        return any(view.target in self.failed for view in views)

    def group_of(self, tally: Tally) -> str:
        """Return the only cluster that the requests of a tally lead to; "" if there are several, or none is known."""
        found = set[str]()
        for _, find in map(finder, self.proxies):
            for request, _ in tally.requests:
                route = find(uri_of(request), tally.server, False)
                found.add(route.upstream or "" if route else "")
        return found.pop() if len(found) == 1 else ""

    def group_with(self, target: Target | None) -> str:
        """Return the cluster that an address is in; "" if it is in none, or in several."""
        found = {group.name for group in self.groups.values() for peer in group.peers if target and peer.target == target}
        found |= {name for name, views in self.views.items() for view in views if target and view.target == target}
        return found.pop() if len(found) == 1 else ""


def settled(summary: LogSummary, proxies: tuple[Proxy, ...]) -> LogSummary:
    """Return the summary with what the configuration and the admin interface add to it."""
    mine = [proxy for proxy in proxies if proxy.kind == "envoy"]
    if not mine:
        return summary
    facts = _Facts.of(mine)
    facts.failed = frozenset(each.target for each in summary.tallies if each.proxy == "envoy" and each.is_failure and each.target)
    found = [_settled(tally, facts) if tally.proxy == "envoy" else tally for tally in summary.tallies]
    empty = {tally.group: tally for tally in found if tally.proxy == "envoy" and tally.symptom is Symptom.NO_LIVE_UPSTREAMS}
    return replace(summary, tallies=(*found, *_checks(empty, facts.views)))


def _settled(tally: Tally, facts: _Facts) -> Tally:
    if tally.symptom in _WITHOUT_HOST and not tally.group:
        tally = replace(tally, group=facts.group_of(tally))
    if tally.symptom is Symptom.NO_LIVE_UPSTREAMS and tally.group:
        return _without_host(tally, facts)
    if tally.symptom is Symptom.CONNECT_FAILED and tally.target is not None:
        return _of_connection(tally, facts)
    if tally.symptom is Symptom.HEADER_INVALID and tally.target is not None:
        return _alike(tally, facts, _OF_HEADER)
    if tally.symptom is Symptom.AUTH_FAILED and (route := facts.asked.get("ext_authz")):
        only = route.peers[0].target if len(route.peers) == 1 else None
        return replace(tally, group=route.passes, target=only)
    return tally


def _without_host(tally: Tally, facts: _Facts) -> Tally:
    """Return a failure of a cluster without a usable host with the reason: no host, a name without an address, or ejection."""
    views, group = facts.views.get(tally.group, []), facts.groups.get(tally.group)
    names = {peer.target for peer in group.peers if peer.target and not peer.target.is_address} if group else set()
    is_checked = any(
        "health_check" in route.settings or "outlier_detection" in route.settings for route in _to(tally.group, facts)
    )
    if views and all(view.state is PeerState.EJECTED for view in views) and not facts.has_failed(views):
        reason = next((view.reason for view in views if view.reason), "")
        return _named(tally, Symptom.CIRCUIT_OPEN, reason or "outlier detection ejected every host")
    if views:
        return tally
    is_known = facts.is_told(tally.group)
    if len(names) == 1 and group is not None and len(group.peers) == 1 and (is_known or not is_checked):
        target = names.pop()
        return replace(_named(tally, Symptom.NAME_NOT_FOUND, target.host), target=target)
    if is_known or (group is not None and not group.peers and not _is_discovered(tally.group, facts)):
        return _named(tally, Symptom.NO_MEMBERS, "")
    return tally


def _to(group: str, facts: _Facts) -> Iterator[Route]:
    return (route for proxy in facts.proxies for route in proxy.routes if route.upstream == group)


def _is_discovered(group: str, facts: _Facts) -> bool:
    """Return whether a cluster gets its hosts from a service elsewhere."""
    return any(route.has_variables for route in _to(group, facts)) or any(proxy.routes_elsewhere for proxy in facts.proxies)


def _named(tally: Tally, symptom: Symptom, detail: str) -> Tally:
    return replace(tally, symptom=symptom, phase=phase_of(symptom), detail=detail, named="")


def _of_connection(tally: Tally, facts: _Facts) -> Tally:
    """Return a failed connection with the reason that its duration or the counters tell."""
    limit_s = facts.limits_s.get(tally.target, 0.0) if tally.target else 0.0
    if tally.duration_min_s is not None and 0 < _NEARLY * limit_s <= tally.duration_min_s:
        return _named(tally, Symptom.CONNECT_TIMED_OUT, tally.detail)
    return _alike(tally, facts, _OF_CONNECTION)


def _alike(tally: Tally, facts: _Facts, symptoms: frozenset[Symptom]) -> Tally:
    """Return a tally with the symptom that the counters give all such failures of its cluster."""
    counted = facts.counted.get(tally.group or facts.group_with(tally.target), [])
    found = {each.symptom for each in counted if each.symptom in symptoms}
    return _named(tally, found.pop(), tally.detail) if len(found) == 1 else tally


def _checks(empty: Mapping[str, Tally], views: Mapping[str, Iterable[PeerView]]) -> Iterator[Tally]:
    """Yield the failed health checks of clusters that had no host left for a request: they are why."""
    for group, tally in empty.items():
        for view in views.get(group, ()):
            if view.state is not PeerState.DOWN or view.target is None:
                continue
            symptom = _BY_REASON.get(view.reason, Symptom.HEALTH_CHECK_FAILED)
            yield Tally(
                symptom=symptom,
                proxy="envoy",
                target=view.target,
                group=group,
                phase=phase_of(symptom),
                code=view.check,
                detail=view.reason,
                first=tally.first,
                last=tally.last,
                owner_uid=tally.owner_uid,
                samples=(Sample(source=view.source, text=f"{group} {view.target} {view.check}: {view.reason}"),),
            )


NO_ANSWER = "the check got no answer in time"
NO_CONNECTION = "the connection of the check failed"
OTHER_ANSWER = "the check got another answer than the expected one"
_BY_REASON = {
    NO_CONNECTION: Symptom.CONNECT_FAILED,
    OTHER_ANSWER: Symptom.HEALTH_CHECK_STATUS,
}
