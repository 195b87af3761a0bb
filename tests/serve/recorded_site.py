"""Stores with real incidents: recorded faults under the rules of `why502 watch`, and the traffic around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import structs
from starlette.testclient import TestClient

from tests.watch.replayed import BUNDLES, Replay
from why502.bundle import load, save
from why502.logs.checkpoint import Checkpoint
from why502.model.target import Target
from why502.watch import topology
from why502.watch.configuration import configured
from why502.watch.model import (
    AttemptKey,
    Batch,
    Change,
    ChangeKind,
    CheckResult,
    FailureKey,
    Incident,
    Limit,
    LimitKind,
    Member,
    MemberStatus,
    Observed,
    Phase,
    RequestKey,
    TargetKey,
)
from why502.watch.store import Store

NOW = datetime(2026, 11, 23, 12, 30, 20, tzinfo=UTC)
Open = Callable[..., TestClient]  # see conftest.py
OTHERS = ("10.0.0.7:8080", "10.0.0.8:8080")


def fault(name: str) -> Path:
    """Return the first recorded bundle of a cause."""
    return next(path for path in sorted((BUNDLES / name).glob("*.why502")) if not path.name.startswith("look-alike"))


def happened(name: str, at: datetime) -> tuple[Incident, bytes]:
    """Return the incident that a recorded fault became, as if it opened then, and its bundle."""
    path = fault(name)
    replay = Replay(path)
    replay.fail_all()
    replay.wait(20)
    incident = next(iter(replay.saved.values()))
    by = at - incident.opened_at
    change = Change(kind=ChangeKind.CONFIG, subject="/etc/nginx/nginx.conf", at=at - timedelta(seconds=40), detail="changed")
    moved = structs.replace(
        incident,
        id=f"{name[:6].encode().hex()}{incident.id[12:]}",
        opened_at=at,
        location=_named(incident.location),
        locations=tuple(map(_named, incident.locations)),
        requests=incident.failures + 800,
        first_failure_at=incident.first_failure_at + by if incident.first_failure_at else None,
        last_failure_at=incident.last_failure_at + by if incident.last_failure_at else None,
        diagnosed=tuple(structs.replace(one, at=one.at + by) for one in incident.diagnosed),
        timeline=tuple(structs.replace(one, at=one.at + by) for one in incident.timeline),
        changes=(change,),
    )
    return moved, save(load(path.read_bytes(), path.name))


def _named(location: str) -> str:
    """Return a location without the number that a replay puts before it."""
    return location.removeprefix("0:")


def site(path: Path, now: datetime, *faults: str, ended: tuple[str, ...] = ()) -> list[Incident]:
    """Fill a store with two hours of traffic and these faults, which are open or ended; return the incidents."""
    minute = int(now.timestamp()) // 60
    found: list[Incident] = []
    bundles: dict[str, bytes] = {}
    for number, name in enumerate((*faults, *ended)):
        incident, bundle = happened(name, now - timedelta(minutes=7 + 30 * number))
        if name in ended:
            incident = structs.replace(
                incident, closed_at=incident.opened_at + timedelta(minutes=9), closing="requests succeed again"
            )
        found.append(incident)
        bundles[incident.id] = bundle
    with Store.open(path) as store:
        for incident in found:
            store.commit(_traffic(incident, minute, now))
        snapshot = load(fault(faults[0] if faults else "healthy").read_bytes(), "bundle")
        store.commit(
            Batch(
                at=now,
                incidents=found,
                bundles=bundles,
                configured=configured(snapshot, topology.configured(snapshot).scopes),
                members=_members(found, now),
                limits=[
                    Limit(kind=LimitKind.MEMORY, subject="shop.service", at=now, used=412e6, limit=512e6),
                    Limit(
                        kind=LimitKind.DISK,
                        subject="/var",
                        at=now,
                        used=46e9,
                        limit=50e9,
                        exhausted_at=now + timedelta(hours=5),
                        reason="it grows by 0.8 GB an hour",
                    ),
                ],
                changes=[Change(kind=ChangeKind.UNIT, subject="shop.service", at=now - timedelta(hours=1), detail="started")],
            )
        )
    return found


def _traffic(incident: Incident, minute: int, now: datetime) -> Batch:
    seen = Observed(log="/var/log/nginx/access.log", proxy=incident.proxy, lines=1, checkpoint=Checkpoint(path="/a", files=()))
    location = (incident.locations or (incident.location,))[0]
    began = int(incident.opened_at.timestamp()) // 60
    for at in range(minute - 120, minute + 1):
        seen.requests[at, RequestKey(incident.proxy, location, "2xx")] += 90 + at % 17
        for target in (incident.target, *OTHERS):
            seen.attempts[at, AttemptKey(incident.proxy, target, "ok")] += 30
            seen.durations[at, TargetKey(incident.proxy, target)] = Counter({700 + at % 40: 20, 800: 2})
        if began <= at and (incident.closed_at is None or at < int(incident.closed_at.timestamp()) // 60):
            seen.failures[at, FailureKey(incident.proxy, location, incident.target, incident.symptom)] += 6 + at % 5
            seen.requests[at, RequestKey(incident.proxy, location, "502")] += 6 + at % 5
            seen.attempts[at, AttemptKey(incident.proxy, incident.target, incident.symptom)] += 6 + at % 5
            seen.recovered[at, TargetKey(incident.proxy, incident.target)] += 1
    return Batch(at=now, observed=[seen])


def _members(incidents: list[Incident], now: datetime) -> list[Member]:
    found = []
    for incident in incidents:
        peer = Target.parse(incident.target)
        for target in (peer, *(Target.parse(other) for other in OTHERS)):
            if target is None:
                continue
            is_down = target == peer and incident.is_open
            last = CheckResult(
                proxy=incident.proxy,
                group="",
                peer=target,
                at=now,
                reason="connection refused" if is_down else "",
                status=None if is_down else 200,
                phases_s={Phase.CONNECT: 0.0004} if is_down else {Phase.CONNECT: 0.0004, Phase.FIRST_BYTE: 0.012},
            )
            found.append(
                Member(
                    proxy=incident.proxy,
                    group="",
                    peer=target,
                    status=MemberStatus.DOWN if is_down else MemberStatus.UP,
                    since=now - timedelta(minutes=7),
                    last=last,
                )
            )
    return found
