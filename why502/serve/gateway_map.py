"""The map of the first page: gateways, their routes, and the members that serve them, with rates of the last minutes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from why502.logs.scan.times import Percentiles, percentiles
from why502.watch.model import AttemptKey, Configured, FailureKey, Member, MemberStatus, RequestKey, TargetKey
from why502.watch.state.families import UNHURT, family_of
from why502.watch.store import Counted, Ring, Store, history

WINDOW_MIN = 5
OK = "ok"
_COUNTED = (Counted.REQUESTS, Counted.FAILURES, Counted.ATTEMPTS, Counted.RECOVERED)
_ORDER = {MemberStatus.DOWN: 0, MemberStatus.UNKNOWN: 1, MemberStatus.UP: 2}


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What was counted in a time. `recovered`: attempts whose failure a retry kept from the client. `hurt`: failures that
    neither the gateway nor the client wanted.
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)  # by proxy and location
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    hurt: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by proxy and target
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    recovered: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: dict[tuple[str, str], Percentiles] = field(default_factory=dict)
    seconds: float = 60.0

    def rate(self, count: int) -> float:
        """Return how often a minute."""
        return 60 * count / self.seconds


def traffic(store: Store, now_s: float, minutes: int, ring: Ring = Ring.MINUTE, target: str = "") -> Traffic:
    """Return what was counted in the last minutes, the current one included. `target`: only what was counted for one."""
    now = int(now_s) // 60
    window: dict[str, Any] = {"since": ring.start(now - minutes + 1), "until": now + 1, "ring": ring, "target": target}
    found = Traffic(seconds=max(now_s - window["since"] * 60, 1.0))
    counts = store.ask(partial(history.summed, counted=_COUNTED, **window))
    for key, count in counts[Counted.REQUESTS].items():
        assert isinstance(key, RequestKey)
        found.requests[key.proxy, key.location] += count
    for key, count in counts[Counted.FAILURES].items():
        assert isinstance(key, FailureKey)
        found.failures[key.proxy, key.location] += count
        found.hurt[key.proxy, key.location] += count * (family_of(key.symptom) not in UNHURT)
    for key, count in counts[Counted.ATTEMPTS].items():
        assert isinstance(key, AttemptKey)
        found.attempts[key.proxy, key.target] += count
        found.failed[key.proxy, key.target] += count * (key.outcome != OK)
    for key, count in counts[Counted.RECOVERED].items():
        assert isinstance(key, TargetKey)
        found.recovered[key.proxy, key.target] += count
    times = store.ask(partial(history.durations, **window))
    found.times = {(name.proxy, name.target): percentiles(part) for name, part in times.items() if part}
    return found


@dataclass(slots=True, kw_only=True)
class Spot:
    """A member of a route: `name` as it is connected to. Rates are by minute."""

    proxy: str
    name: str
    status: MemberStatus = MemberStatus.UNKNOWN
    is_checked: bool = False
    attempts: float = 0.0
    failed: int = 0
    p95_s: float | None = None

    @property
    def rank(self) -> tuple[int, int, str]:
        """Return the order: what is down or fails comes first."""
        return _ORDER[self.status] if self.is_checked else 1, -self.failed, self.name


@dataclass(slots=True, kw_only=True)
class Path:
    """A route. `failures`: in the window; `rate`: requests a minute."""

    location: str
    group: str = ""
    rate: float = 0.0
    requests: int = 0
    failures: int = 0
    places: list[Spot] = field(default_factory=list)

    @property
    def is_bad(self) -> bool:
        """Return whether clients get failures, or no member is up."""
        checked = [place for place in self.places if place.is_checked]
        return bool(self.failures) or (bool(checked) and all(place.status is MemberStatus.DOWN for place in checked))

    @property
    def rank(self) -> tuple[bool, bool, float, str]:
        """Return the order: what fails comes first, then what is used most."""
        any_down = any(place.status is MemberStatus.DOWN for place in self.places)
        return not self.is_bad, not any_down, -self.rate, self.location


@dataclass(slots=True, kw_only=True)
class Gateway:
    """A gateway with its routes."""

    proxy: str
    rate: float
    failures: int
    paths: list[Path]


def gateways(configured: Configured, members: Iterable[Member], seen: Traffic) -> list[Gateway]:
    """Return the map: what is configured, and what requests were counted for."""
    by_group: defaultdict[tuple[str, str], dict[str, Spot]] = defaultdict(dict)
    for member in members:
        name = str(member.peer)
        by_group[member.proxy, member.group][name] = Spot(
            proxy=member.proxy, name=name, status=member.status, is_checked=member.last is not None and not member.last.is_unknown
        )
    names: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for peer in configured.peers:
        names[peer.proxy, peer.group].add(peer.target)
    paths: dict[tuple[str, str], Path] = {}
    for route in sorted(configured.routes):
        path = paths.setdefault((route.proxy, route.location), Path(location=route.location, group=route.group))
        wanted = {route.target} if route.target else names[route.proxy, route.group]
        path.places += _places(route.proxy, wanted, by_group[route.proxy, route.group], seen, is_group=not route.target)
    for proxy, location in (*seen.requests, *seen.failures):
        paths.setdefault((proxy, location), Path(location=location))
    for key, path in paths.items():
        path.requests, path.failures = seen.requests[key], seen.failures[key]
        path.rate = seen.rate(max(path.requests, path.failures))
        path.places.sort(key=lambda place: place.rank)
    return [_gateway(proxy, paths) for proxy in sorted({proxy for proxy, _ in paths})]


def _gateway(proxy: str, paths: Mapping[tuple[str, str], Path]) -> Gateway:
    own = sorted((path for (name, _), path in paths.items() if name == proxy), key=lambda path: path.rank)
    return Gateway(proxy=proxy, rate=sum(path.rate for path in own), failures=sum(path.failures for path in own), paths=own)


def _places(proxy: str, wanted: set[str], known: Mapping[str, Spot], seen: Traffic, *, is_group: bool) -> list[Spot]:
    """Return the members of a route: those that are checked, and those that are only configured, such as names."""
    checked = {name: place for name, place in known.items() if is_group or name in wanted}
    missing = {
        name: Spot(proxy=proxy, name=name) for name in wanted - checked.keys() if (proxy, name) in seen.attempts or not checked
    }
    found = [*checked.values(), *missing.values()]
    for place in found:
        key = (proxy, place.name)
        place.attempts, place.failed = seen.rate(seen.attempts[key]), seen.failed[key]
        place.p95_s = seen.times[key].p95_s if key in seen.times else None
    return found
