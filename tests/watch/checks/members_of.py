"""Members, results and plans for tests of the checks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from why502.model.logs import Symptom
from why502.model.target import Target
from why502.probing.request import Request
from why502.watch.checks.members import MemberKey, Planned
from why502.watch.model import CheckResult, Member

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEER = Target(host="10.0.0.5", port=3000)


def peer(number: int) -> Target:
    return Target(host=f"10.0.{number // 250}.{number % 250 + 1}", port=3000)


def member(target: Target = PEER, **fields: object) -> Member:
    return Member(**{"proxy": "nginx", "group": "app", "peer": target, **fields})


def plan_of(target: Target = PEER, **fields: object) -> Planned:
    request = Request(target=target, answer_s=5.0)
    return Planned(**{"key": MemberKey("nginx", "app", target), "name": str(target), "request": request, **fields})


def result(symptom: Symptom | None = None, target: Target = PEER, after_s: float = 0, **fields: object) -> CheckResult:
    at = NOON + timedelta(seconds=after_s)
    return CheckResult(**{"proxy": "nginx", "group": "app", "peer": target, "at": at, "symptom": symptom, **fields})


GOOD = result()
BAD = result(Symptom.CONNECT_REFUSED)
BLIND = result(is_unknown=True)
