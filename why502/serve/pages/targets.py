"""The members of all gateways: checks by phase, attempts, what a retry recovered, times, certificates; resources and restarts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from why502.logs.scan.times import Percentiles, percentiles
from why502.render import plots
from why502.serve.gateway_map import OK, Traffic, traffic
from why502.serve.live_page import LivePage
from why502.serve.navigation import Navigation
from why502.serve.rendering import Serving, number, page, serving, symptom_words
from why502.watch.concern import words
from why502.watch.limits.shared_memory import TABLES
from why502.watch.model import Change, Configured, Limit, LimitKind, Member, MemberStatus, OwnerKey, Phase, TargetKey
from why502.watch.report import story
from why502.watch.store import Ring, Store, history

NAVIGATION = Navigation(title="Targets", path="/targets", order=30, about="Every member of every gateway, its checks and times.")
WINDOW_MIN = 60
MOST = 300
MOST_CHANGES = 50
DAY_H = 24
MOST_INCIDENTS = 20
_LONGEST = 500
_STARTED = ("started", "restarted")
_CONTAINER = 12  # characters of a container's id, as its memory is named
_STATUSES = {MemberStatus.DOWN: 0, MemberStatus.UNKNOWN: 1, MemberStatus.UP: 2}
LIMITS = {
    LimitKind.MEMORY: ("memory", "bytes"),
    LimitKind.DESCRIPTORS: ("file descriptors", ""),
    LimitKind.CONNTRACK: ("connection tracking", ""),
    LimitKind.PORTS: ("local ports", ""),
    LimitKind.WORKER_CONNECTIONS: ("worker connections", ""),
    LimitKind.FPM_CHILDREN: ("PHP-FPM children", ""),
    LimitKind.LISTEN_QUEUE: ("accept queue", ""),
    LimitKind.DISK: ("disk", "bytes"),
    LimitKind.SHARED_MEMORY: ("shared memory", "bytes"),
    LimitKind.CERTIFICATE: ("certificate", "time"),
}

COUNTED = ("(inodes)", *TABLES)  # subjects whose kind is measured in bytes otherwise


@dataclass(slots=True, kw_only=True)
class Row:
    """A member, and what was counted for it in the window. Rates are by minute."""

    proxy: str
    target: str
    group: str = ""
    member: Member | None = None
    attempts: int = 0
    rate: float = 0.0
    failed: int = 0
    recovered: int = 0
    times: Percentiles | None = None
    starts: tuple[datetime, ...] = ()  # of what serves it, in the last 7 days
    memory: Limit | None = None  # of its unit or container
    queue: Limit | None = None  # of connections that it has not accepted yet

    @property
    def is_checked(self) -> bool:
        """Return whether its checks tell its state."""
        return self.member is not None and self.member.last is not None and not self.member.last.is_unknown

    @property
    def rank(self) -> tuple[int, int, str, str, str]:
        """Return the order: what is down or fails comes first."""
        state = _STATUSES[self.member.status] if self.member else 1
        return state, -self.failed, self.proxy, self.group, self.target


def rows(members: list[Member], configured: Configured, seen: Traffic) -> list[Row]:
    """Return the members, and the targets that are only configured or only counted."""
    found = [Row(proxy=one.proxy, target=str(one.peer), group=one.group, member=one) for one in members]
    known = {(row.proxy, row.target) for row in found}
    others = {*configured.targets, *(TargetKey(*key) for key in seen.attempts)}
    found += [Row(proxy=proxy, target=target) for proxy, target in sorted(others) if (proxy, target) not in known and target]
    for row in found:
        key = (row.proxy, row.target)
        row.attempts, row.rate = seen.attempts[key], seen.rate(seen.attempts[key])
        row.failed, row.recovered, row.times = seen.failed[key], seen.recovered[key], seen.times.get(key)
    return sorted(found, key=lambda row: row.rank)


def own(found: list[Row], owners: Iterable[OwnerKey], limits: Iterable[Limit], changes: Iterable[Change]) -> None:
    """Give each row what belongs to it alone: the starts, the memory and the queue of what serves it."""
    names: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for owner in owners:
        names[owner.proxy, owner.target].append(owner.name)
    measured = {(limit.kind, limit.subject): limit for limit in limits}
    starts: defaultdict[str, set[datetime]] = defaultdict(set)
    for change in changes:
        if change.detail.startswith(_STARTED):
            for name in {change.subject, *change.units, *(f"pid {pid}" for pid in change.pids)}:
                starts[name].add(change.at)
    for row in found:
        mine = names[row.proxy, row.target]
        row.starts = tuple(sorted({at for name in mine for at in starts[name]}))
        row.queue = measured.get((LimitKind.LISTEN_QUEUE, row.target))
        memory = (measured.get((LimitKind.MEMORY, short)) for name in mine for short in (name, name[:_CONTAINER]))
        row.memory = next(filter(None, memory), None)


def _view(shared: Serving) -> dict[str, Any]:
    """Return what the page shows. Raises NoStore."""
    now = shared.now()
    with shared.stock.reading() as store:
        found, limits, changes = _rows(store, now)
    states = Counter(row.member.status for row in found if row.member and row.is_checked)
    counts = ", ".join(f"{states[status]} {status.value}" for status in _STATUSES if states[status])
    return {
        "now": now,
        "sentence": f"{len(found)} target{'' if len(found) == 1 else 's'}{f': {counts}' if counts else ''}",
        "rows": found[:MOST],
        "more": max(len(found) - MOST, 0),
        "phases": list(Phase),
        "limits": sorted(limits, key=lambda one: (-one.ratio, one.kind, one.subject)),
        "limit_words": LIMITS,
        "size": _size,
        "restarts": _restarts(changes),
        "changes": [(one.at, words(one)) for one in reversed(changes[-MOST_CHANGES:])],
        "has_more_changes": len(changes) > MOST_CHANGES,
    }


def _rows(store: Store, now: datetime, target: str = "") -> tuple[list[Row], list[Limit], list[Change]]:
    """Return all rows, and the limits and changes of a week that they are made from. `target`: the one whose counts matter."""
    configured = store.ask(history.configured)
    found = rows(store.members(), configured, traffic(store, now.timestamp(), WINDOW_MIN, target=target))
    limits, changes = store.limits(), store.changes(since=now - timedelta(days=7))
    own(found, configured.owners, limits, changes)
    return found, limits, changes


def _restarts(changes: list[Change]) -> list[tuple[str, int, datetime]]:
    """Return what started, how often in a week, and when last."""
    starts: defaultdict[str, list[datetime]] = defaultdict(list)
    for one in changes:
        if one.detail.startswith(_STARTED):
            starts[one.subject].append(one.at)
    return sorted(((name, len(times), max(times)) for name, times in starts.items()), key=lambda one: (-one[1], one[0]))


def _size(limit: Limit, value: float) -> str:
    """Return a value of a limit with its unit."""
    unit = "" if limit.subject.endswith(COUNTED) else LIMITS[limit.kind][1]
    if unit == "time":
        return f"{value / 86_400:.0f} days"
    if unit == "bytes":
        for factor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= factor:
                return f"{value / factor:.3g} {name}"
        return f"{value:.0f} B"
    return number(value)


def one(request: Request) -> Response:
    """Return the page of one target."""
    shared = serving(request)
    proxy, target = (request.query_params.get(name, "")[:_LONGEST] for name in ("proxy", "target"))
    now = shared.now()
    with shared.stock.reading() as store:
        found = [row for row in _rows(store, now, target)[0] if row.target == target and proxy in ("", row.proxy)]
        named = store.incidents(target=target, limit=MOST_INCIDENTS) if target else []
        incidents = [one for one in named if target in (one.target, *one.targets)]
        if not found and not incidents:
            raise HTTPException(404, "no such target is known; /targets lists all")
        plot, times = _day(store, now, proxy, target)
    return page(
        request,
        "target.html",
        target=target,
        proxy=proxy,
        rows=found,
        phases=list(Phase),
        incidents=incidents,
        plot=plot,
        times=times,
        now=now,
        size=_size,
        headline=story.headline,
        counts=story.counts,
    )


def _day(store: Store, now: datetime, proxy: str, target: str) -> tuple[str, list[tuple[str, Percentiles]]]:
    """Return the failed attempts of the last day by hour as a plot, and the times of each hour."""
    last = Ring.HOUR.start(int(now.timestamp()) // 60)
    starts = [last - 60 * (DAY_H - 1 - number) for number in range(DAY_H)]
    places = {start: place for place, start in enumerate(starts)}
    asked: dict[str, Any] = {"target": target, "since": starts[0], "until": last + 60, "ring": Ring.HOUR}
    counts: dict[str, list[float]] = {}
    for start, key, count in store.ask(partial(history.attempts_of, **asked)):
        if proxy in ("", key.proxy) and key.outcome != OK and start in places:
            counts.setdefault(key.outcome, [0.0] * DAY_H)[places[start]] += count
    columns = [f"{datetime.fromtimestamp(start * 60, UTC):%m-%d %H:%M}Z" for start in starts]
    plot = plots.bars(
        [plots.Series(name=symptom_words(name), counts=tuple(each)) for name, each in sorted(counts.items())],
        columns,
        label=f"Failed attempts by hour, {columns[0]} to {columns[-1]}",
        axis=(columns[0], columns[-1]),
    )
    buckets: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for start, name, found in store.ask(partial(history.durations_of, **asked)):
        if proxy in ("", name.proxy):
            buckets[start].update(found)
    times = [(columns[place], percentiles(buckets[start])) for start, place in places.items() if buckets[start]]
    return plot if counts else "", list(reversed(times))


ROUTES = [*LivePage(name="targets", path="/targets", view=_view).routes, Route("/targets/one", one)]
