"""A target with the routes that lead to it, and with what the logs say of requests to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from why502.diagnosis.index import Joins
from why502.diagnosis.sums import merged
from why502.diagnosis.ways import FAILED
from why502.gateways.behaviour import behaviour
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.logs import PathTraffic, Symptom, Tally, TargetTraffic
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

BROKEN = frozenset({Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY})


class VantageKind(StrEnum):
    """The kinds of places where a target can run."""

    MACHINE = "machine"
    CONTAINER = "container"
    POD = "pod"


@dataclass(frozen=True, eq=False, slots=True)
class Vantage:
    """A collected machine, container or pod, besides the proxy's own machine, that has the target's address."""

    snapshot: Snapshot
    kind: VantageKind = VantageKind.MACHINE


@dataclass(frozen=True, eq=False)
class RoutedTarget:
    """One target as the proxy's machine (`here`) sends requests to it, and the collected places that have its address
    (`vantages`).

    If `target` is None, this is the case of the proxy itself: it covers everything that concerns no single address.
    """

    here: Snapshot
    vantages: tuple[Vantage, ...] = ()
    target: Target | None = None
    offline: bool = False
    index: Joins | None = None  # of `here`, if several cases share it
    only: Route | None = None  # if set, only this one of the routes to the target is examined
    only_group: str = ""  # if set, only the failures of this group, of those without a target
    joins_by_time: bool = True  # whether a service that nothing but the time links to the target counts as its own

    @cached_property
    def joins(self) -> Joins:
        """The indexes of `here`."""
        return self.index or Joins(self.here)

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes that lead to the target (all routes, for the proxy's own case)."""
        if self.only is not None:
            return (self.only,)
        if self.target is None:
            return self.joins.routes
        named = () if self.here.names is not None else self.joins.routes_by_name.get(self.target.port, ())
        return self.joins.routes_to(self.target) or tuple(named)

    @cached_property
    def is_named(self) -> bool:
        """True if a file on disk names the target, or if a name or variable there may mean it."""
        return self.joins.may_lead_to(self.target) or self.joins.leads_to(self.target)

    @cached_property
    def route(self) -> Route | None:
        """The route with the most failures, else the first."""
        if not self.routes:
            return None
        servers = {tally.server: tally.count for tally in sorted(self.tallies, key=lambda x: x.count)}
        taken = self.failures_of
        if not taken and not any(servers):
            return self.routes[0]
        return max(
            self.routes,
            key=lambda route: (
                taken[route.at],
                max((servers.get(name, 0) for name in (route.server, *route.server_names)), default=0),
            ),
        )

    @cached_property
    def failures_of(self) -> Counter[Position | None]:
        """The number of failed requests on each route, by its position; empty if the target has only one."""
        taken: Counter[Position | None] = Counter()
        if len(self.routes) > 1:
            for tally in self.failures:
                for request, count in tally.requests:
                    taken.update(
                        dict.fromkeys((route.at for route in self.joins.routes_for_request(request, tally.server)), count)
                    )
        return taken

    @cached_property
    def peer(self) -> Peer | None:
        """The configured member that means the target."""
        for route in self.routes:
            if len(route.peers) == 1:
                return route.peers[0]
            if self.target is not None and (peer := self.joins.members(route.peers).get(self.target)):
                return peer
        return None

    @cached_property
    def group(self) -> Upstream | None:
        """The named group that the target belongs to."""
        names = {route.upstream for route in self.routes if route.upstream}
        found = [self.joins.groups[name] for name in names if name in self.joins.groups]
        return min(found, key=lambda each: each[0])[1] if found else None

    @cached_property
    def empty_group(self) -> Upstream | None:
        """The group in which the proxy had no server left to try, in the proxy's own case; None if there was none."""
        tally = self.tally(Symptom.NO_LIVE_UPSTREAMS) if self.target is None else None
        return next((group for proxy in self.proxies for group in proxy.upstreams if tally and group.name == tally.group), None)

    @cached_property
    def is_left_out(self) -> bool:
        """True if the proxy had no server left to try in the target's group."""
        if self.target is not None and self.tally(Symptom.NO_LIVE_UPSTREAMS):
            return True  # the gateway names the only server
        empty = self.joins.tallies_of(Symptom.NO_LIVE_UPSTREAMS)
        known = [self.joins.groups[tally.group][1] for tally in empty if tally.group in self.joins.groups]
        if self.target is None or not empty or self.group in known:
            return bool(empty) and self.group in known
        if any(self.target in self.joins.members(group.peers) for group in known):
            return True
        kinds = {self.joins.proxy_of[id(route)].kind for route in self.routes}
        names = {name for route in self.routes for name in (route.server, *route.server_names)}
        return any(t.proxy in kinds and t.group not in self.joins.groups and (not t.server or t.server in names) for t in empty)

    @cached_property
    def proxies(self) -> tuple[Proxy, ...]:
        """The proxies of the machine (() if unknown)."""
        return self.here.proxies or ()

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy whose routes lead to the target; of several the one whose route had the most failures."""
        if self.target is None:
            return self.proxies[0] if len(self.proxies) == 1 else None
        return self.joins.proxy_of.get(id(self.route)) if self.route else None

    @cached_property
    def network(self) -> str:
        """The network namespace that the proxy connects from, as in `Proxy.network`."""
        return self.proxy.network if self.proxy else ""

    @cached_property
    def protocol(self) -> str:
        """The protocol between the proxy and the target: http, https, fastcgi…; "" if unknown."""
        if self.route is not None:
            return self.route.protocol
        return next((tally.protocol for tally in self.tallies if tally.protocol), "")

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """The tallies of the target; for the proxy's own case, those without a target."""
        found = self.joins.tallies.get(self.target, ())
        # Messages of applications and the kernel name no target. They belong to any target that fails (see `words`).
        if self.only_group:
            return tuple(tally for tally in found if tally.group == self.only_group)
        if self.target is None and self.joins.failing:
            return tuple(tally for tally in found if tally.proxy is not None)
        return tuple(found)

    def tally(self, *symptoms: Symptom) -> Tally | None:
        """Return the sum of these symptoms of the target in the logs; None if there are none."""
        return merged(tally for tally in self.tallies if tally.symptom in symptoms)

    def anywhere(self, *symptoms: Symptom) -> tuple[Tally, ...]:
        """Return the tallies of these symptoms in all logs of all machines, whatever their target."""
        seen = (self.here, *(vantage.snapshot for vantage in self.vantages))
        logs = [snapshot.logs for snapshot in seen if snapshot.logs is not None]
        return tuple(tally for log in logs for tally in log.tallies if tally.symptom in symptoms)

    @cached_property
    def traffic(self) -> TargetTraffic | None:
        """The access log's figures for the target's traffic."""
        return self.joins.traffic.get(self.target) if self.target is not None else None

    @cached_property
    def failures(self) -> tuple[Tally, ...]:
        """The tallies of gateways, without those that are not failures by themselves."""
        return tuple(tally for tally in self.tallies if tally.is_failure)

    @property
    def handshake_code(self) -> str:
        """The code in the lines about its failures that a gateway writes for a failed TLS handshake and for a refused connection
        alike; "" if there is none.
        """
        codes = ((behaviour(tally.proxy).handshake_code, tally.code) for tally in self.failures if tally.proxy)
        return next((same for same, code in codes if same and code.startswith(same)), "")

    @cached_property
    def first_failure(self) -> datetime | None:
        """When the target first failed in the window."""
        return min((t.first for t in self.failures if t.first), default=None)

    @cached_property
    def last_failure(self) -> datetime | None:
        """When the target last failed in the window."""
        return max((t.last for t in self.failures if t.last), default=None)

    @cached_property
    def last_served(self) -> datetime | None:
        """When the target last answered, or held a connection that then broke; None if neither is known."""
        moments = [tally.first for tally in self.tallies if tally.symptom in BROKEN]
        return max((at for at in (*moments, self.last_answered) if at is not None), default=None)

    @cached_property
    def paths(self) -> tuple[PathTraffic, ...]:
        """The traffic of the paths that its routes serve, by the access logs."""
        places = {route.at for route in self.routes if route.at is not None}
        return tuple(path for path in (self.here.logs.paths if self.here.logs else ()) if path.at in places)

    @cached_property
    def errs(self) -> bool:
        """Whether clients got a server error on its routes, by an access log that names no address."""
        return any(status.startswith("5") for path in self.paths for status in path.statuses)

    @cached_property
    def last_answered(self) -> datetime | None:
        """When the target last answered; None if no answer is known.

        Where the log names targets, it alone tells: what a client got may be an error page with a good status.
        """
        if self.traffic is not None:
            return self.traffic.last_success
        if any(len(route.peers) != 1 or _may_be_cached(route) for route in self.routes):
            return None
        written = {route.at: self._in_force_since(route) for route in self.routes if route.at is not None}
        paths = self.here.logs.paths if self.here.logs else ()
        served = ((path.last_served, written[path.at]) for path in paths if path.at in written)
        return max((at for at, since in served if at and (since is None or at >= since)), default=None)

    def _in_force_since(self, route: Route) -> datetime | None:
        """Return since when the proxy knows a route's address: what was served before may have come from another one. None if
        that is unknown.

        That is when the files that name it were last changed, or when its oldest worker began, if that is later: it loaded them.
        """
        proxy = self.joins.proxy_of.get(id(route))
        named = {at.file for at in (route.at, *(peer.at for peer in route.peers)) if at is not None}
        changed = (file.modified_at for file in (proxy.files if proxy else ()) if file.path in named)
        written = max((at for at in changed if at is not None), default=None)
        loaded = min((each.started_at for each in (proxy.workers if proxy else ()) if each.started_at), default=None)
        if written is None or loaded is None or loaded < written:
            return written
        return max(written, min(loaded, self.first_failure or loaded))

    @cached_property
    def unanswered(self) -> int:
        """How many requests to it the access logs have, if it answered none of them; 0 if it did, or if that is unknown."""
        if traffic := self.traffic:
            return traffic.attempts if traffic.attempts == traffic.failures else 0
        if any(len(route.peers) != 1 for route in self.routes):
            return 0
        counts = Counter(status for path in self.paths for status in Counter(path.statuses).elements())
        return counts.total() if all(status in FAILED for status in counts) else 0


def _may_be_cached(route: Route) -> bool:
    """Return whether the gateway itself may answer from its cache on a route."""
    setting = route.setting(f"{route.directive.removesuffix('_pass')}_cache")
    return setting is not None and setting.args != ("off",)
