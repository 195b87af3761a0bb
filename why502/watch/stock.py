"""The stock for the metrics: what the store counted, and what the daemon knows besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from why502.model.snapshot import Snapshot
from why502.watch.configuration import logs, routes, running
from why502.watch.metrics.view import Certificate, EndedIncidents, LogKind, LogTotal, MetricsView, Role
from why502.watch.model import AttemptKey, Limit, LimitKind, Member
from why502.watch.store import BOUNDS_S, Store

RECENT = timedelta(days=30)
MOST_INCIDENTS = 1000
CHANGES = timedelta(days=7)


@dataclass(slots=True, kw_only=True)
class Own:
    """What the daemon knows and the store does not."""

    host: str
    snapshot: Snapshot
    receivers: tuple[str, ...] = ()
    repeated: Callable[[], dict[tuple[str, str], int]] = dict  # what became of the states that receivers were sent
    checks_failed: Counter[AttemptKey] = field(default_factory=Counter)
    diagnoses: int = 0
    diagnoses_s: float = 0.0
    is_reload_successful: bool = True

    def checked(self, member: Member) -> None:
        """Count a check that failed."""
        if member.last is not None and member.last.symptom is not None:
            self.checks_failed[AttemptKey(member.proxy, str(member.peer), member.last.symptom.value)] += 1


def metrics_view(store: Store, own: Own, members: tuple[Member, ...], now: Callable[[], datetime]) -> MetricsView:
    """Return everything that the metrics are made of. Raises Why502Error where the store cannot be read."""
    at, totals, snapshot, limits = now(), store.totals(), own.snapshot, store.limits()
    owners = logs(snapshot)
    pending = dict.fromkeys(own.receivers, 0) | Counter(receiver for receiver, _ in totals.pending)
    kinds = {proxy.root + log.path: LogKind(log.kind.value) for proxy in running(snapshot) for log in proxy.logs if log.path}
    return MetricsView(
        at=at,
        began_at=totals.born_at,
        host=own.host,
        bounds_s=BOUNDS_S,
        requests=totals.requests,
        failures=totals.failures,
        attempts=totals.attempts,
        recovered=totals.recovered,
        durations=totals.durations,
        routes=routes(snapshot) if snapshot.proxies is not None else None,
        members=members,
        checks_failed=dict(own.checks_failed),
        incidents=store.incidents(since=at - RECENT, limit=MOST_INCIDENTS),
        ended_incidents=[
            EndedIncidents(cause=cause, fault_domain=domain, count=ended.count, seconds=ended.seconds)
            for (cause, domain), ended in totals.incidents.items()
        ],
        limits=[limit for limit in limits if limit.kind is not LimitKind.CERTIFICATE],
        certificates=_certificates(limits, members),
        changes=store.changes(since=at - CHANGES),
        in_force=_in_force(snapshot),
        logs=[
            LogTotal(
                log=log,
                kind=kinds.get(log, LogKind.ACCESS),
                lines=total.lines,
                unparsed=total.unparsed,
                lost_bytes=total.lost_bytes,
                rotations=total.rotations,
                lag_bytes=total.lag_bytes,
                newest_at=total.newest_at,
            )
            for log, total in totals.logs.items()
            if log in owners
        ],
        notifications=totals.deliveries | own.repeated(),
        pending=pending,
        store_errors=totals.store_errors,
        gaps=len(snapshot.gaps),
        diagnoses=own.diagnoses,
        diagnoses_s=own.diagnoses_s,
        is_reload_successful=own.is_reload_successful,
    )


def _certificates(limits: Iterable[Limit], members: Iterable[Member]) -> list[Certificate]:
    """Return the certificates by role and name: those of the proxies' listeners, and those that the members showed last."""
    found: dict[tuple[str, str], datetime] = {}
    for limit in limits:
        role, _, name = limit.subject.partition(" ")
        if limit.kind is LimitKind.CERTIFICATE and limit.exhausted_at is not None:
            found[role, name] = limit.exhausted_at
    for member in members:
        if member.last is not None and member.last.certificate_ends_at is not None:
            found[Role.UPSTREAM, str(member.peer)] = member.last.certificate_ends_at
    return [Certificate(role=Role(role), name=name, ends_at=ends_at) for (role, name), ends_at in found.items()]


def _in_force(snapshot: Snapshot) -> dict[str, bool]:
    """Return, by proxy, whether the configuration on disk is the one that runs; without those of which that is unknown."""
    found: dict[str, bool] = {}
    for proxy in running(snapshot):
        if proxy.loaded_at is not None and proxy.changed_at is not None:
            found[proxy.kind] = found.get(proxy.kind, True) and proxy.changed_at <= proxy.loaded_at
    return found
