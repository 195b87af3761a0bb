"""A MetricsView of a small shop behind nginx: healthy, or in one bad night."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from why502.model.finding import Finding, Layer
from why502.model.logs import Symptom
from why502.model.target import Target
from why502.watch.metrics.view import Certificate, EndedIncidents, FailedRequest, LogKind, LogTotal, MetricsView, Role, Route
from why502.watch.model import (
    AttemptKey,
    Change,
    ChangeKind,
    CheckResult,
    Diagnosed,
    FailureKey,
    Incident,
    Limit,
    LimitKind,
    Member,
    MemberStatus,
    Occasion,
    Phase,
    RequestKey,
    TargetKey,
)

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@dataclass
class Times:
    """A histogram of response times."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, duration_s: float, count: int = 1) -> None:
        self.counts[next((i for i, bound in enumerate(BOUNDS_S) if duration_s <= bound), len(BOUNDS_S))] += count
        self.sum_s += duration_s * count


def empty(at: datetime = NOW, host: str = "web1", **values: object) -> MetricsView:
    """Return a view without traffic, but for what is given."""
    return MetricsView(at=at, began_at=NOW - timedelta(days=40), host=host, bounds_s=BOUNDS_S, **values)  # type: ignore[arg-type]


def member(peer: str, group: str = "app", status: MemberStatus = MemberStatus.UP, **values: object) -> Member:
    """Return a peer whose last check took a few milliseconds."""
    target = Target.parse(peer)
    assert target is not None
    last = CheckResult(proxy="nginx", group=group, peer=target, at=NOW, phases_s={Phase.CONNECT: 0.001, Phase.FIRST_BYTE: 0.02})
    return Member(proxy="nginx", group=group, peer=target, status=status, last=last, **values)  # type: ignore[arg-type]


def incident(number: int = 1, cause: str = "backend-not-running", target: str = "127.0.0.1:3001", **values: object) -> Incident:
    """Return an incident; without a cause, none could be established."""
    finding = Finding(cause=cause, layer=Layer.UPSTREAM, confidence=0.97, message="the backend is not running") if cause else None
    given: dict[str, object] = {
        "id": f"2026-11-23-{number}",
        "key": f"v1:{number}",
        "host": "web1",
        "proxy": "nginx",
        "symptom": "connect-refused",
        "opened_at": NOW - timedelta(minutes=4),
        "target": target,
        "location": "shop.example/api/",
        "diagnosed": (Diagnosed(at=NOW, occasion=Occasion.OPENED, finding=finding),),
    }
    return Incident(**(given | values))  # type: ignore[arg-type]


def _after(at: datetime, begin: datetime) -> int:
    """Return the whole minutes since a time; 0 before it."""
    return max(int((at - begin).total_seconds()) // 60, 0)


def bad_night(at: datetime, end: datetime) -> MetricsView:
    """Return the view at one time of a day that ends with every fault that an alert is for."""
    began = end - timedelta(hours=30)
    minutes = _after(at, began)
    failing, slow, silent, last = (_after(at, end - timedelta(minutes=ago)) for ago in (90, 60, 30, 5))
    access, second, error = "/var/log/nginx/access.log", "/var/log/nginx/second.log", "/var/log/nginx/error.log"
    shop, first, other = "shop.example/", "10.0.0.1:80", "10.0.0.2:80"
    members = [
        member(first, status=MemberStatus.DOWN if failing else MemberStatus.UP),
        member(other),
        member("10.0.1.1:80", "old", MemberStatus.DOWN),
    ]
    quick = Times()
    quick.add(0.02, 60 * minutes)
    quick.add(50.0, 3 * slow)
    failed = FailureKey("nginx", shop, first, Symptom.CONNECT_REFUSED)
    return empty(
        at=at,
        requests={
            RequestKey("nginx", shop, "2xx"): 80 * minutes,
            RequestKey("nginx", shop, "499"): minutes + 10 * slow,
            RequestKey("nginx", shop, "502"): 20 * failing,
        },
        failures={failed: 20 * failing},
        failed_requests={failed: FailedRequest(request_id="9f3a7c21", at=at)} if failing else {},
        attempts={
            AttemptKey("nginx", first, "ok"): 40 * minutes,
            AttemptKey("nginx", other, "ok"): 40 * minutes,
            AttemptKey("nginx", first, "connect-refused"): 25 * failing,
            AttemptKey("nginx", "10.0.1.1:80", "ok"): 7,
        },
        recovered={TargetKey("nginx", first): 5 * failing},
        durations={TargetKey("nginx", other): quick},
        routes=[
            Route(proxy="nginx", location=shop, group="app", targets=(first, other), timeouts_s={"connect": 5.0, "read": 60.0})
        ],
        members=members,
        checks_failed={AttemptKey("nginx", first, "connect-refused"): 6 * failing},
        incidents=[incident(opened_at=end - timedelta(minutes=89), target=first)] if failing else [],
        ended_incidents=[EndedIncidents(cause="disk-full", fault_domain="platform", count=1 + bool(slow), seconds=600.0 + slow)],
        limits=[
            Limit(
                kind=LimitKind.MEMORY, subject="app.service", at=at, used=90, limit=100, exhausted_at=end + timedelta(minutes=30)
            ),
            Limit(kind=LimitKind.DISK, subject="/var/log", at=at, used=80, limit=100, exhausted_at=end + timedelta(hours=12)),
            Limit(kind=LimitKind.LISTEN_QUEUE, subject=first, at=at, used=70, limit=100),
        ],
        certificates=[
            Certificate(role=Role.FRONT, name="/etc/ssl/shop.pem", ends_at=end + timedelta(days=1)),
            Certificate(role=Role.UPSTREAM, name=other, ends_at=end + timedelta(days=10)),
        ],
        changes=[
            Change(kind=kind, subject=subject, at=end - timedelta(minutes=91))
            for kind, subject in (
                (ChangeKind.RELOAD, "nginx"),
                (ChangeKind.UNIT, "app.service"),
                (ChangeKind.UNIT, "python3 (pid 4711)"),
                (ChangeKind.UNIT, "python3 (pid 4712)"),
                (ChangeKind.PACKAGE, "openssl"),
                (ChangeKind.CERTIFICATE, "/etc/ssl/shop.pem"),
            )
        ],
        in_force={"nginx": _after(at, end - timedelta(hours=3)) == 0},
        logs=[
            LogTotal(
                log=access,
                kind=LogKind.ACCESS,
                lines=100 * (minutes - silent),
                rotations=minutes // 1440,
                newest_at=min(at, end - timedelta(minutes=30)),
            ),
            LogTotal(
                log=second, kind=LogKind.ACCESS, lines=30 * minutes, unparsed=9 * slow, lost_bytes=4096 * last, newest_at=at
            ),
            LogTotal(
                log=error,
                kind=LogKind.ERROR,
                lines=minutes,
                lag_bytes=9_000_000 if last else 0,
                newest_at=at - timedelta(minutes=last),
            ),
        ],
        notifications={("pager", "failed"): silent, ("pager", "sent"): 3},
        pending={"pager": silent, "chat": 0},
        diagnoses=1 + failing // 5,
        diagnoses_s=4.0 + failing,
        store_errors=last,
        gaps=1,
    )
