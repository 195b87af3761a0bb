"""A MetricsView of a small shop behind nginx: healthy, or in one bad night."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from why502.model.finding import Finding, Layer
from why502.model.target import Target
from why502.watch.metrics.view import MetricsView
from why502.watch.model import (
    CheckResult,
    Diagnosed,
    Incident,
    Member,
    MemberStatus,
    Occasion,
    Phase,
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
