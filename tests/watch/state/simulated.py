"""A gateway, its targets and a clock that are simulated, so that a day of `step` takes seconds."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from why502.model.finding import Diagnosis, Evidence, Finding, Layer, Verdict
from why502.model.logs import Symptom
from why502.model.target import Target
from why502.watch.model import (
    AttemptKey,
    CheckResult,
    FailureKey,
    Incident,
    Member,
    MemberStatus,
    Observed,
    RequestKey,
    TargetKey,
    Transition,
)
from why502.watch.state.step import step
from why502.watch.state.values import Action, Diagnose, DiagnosisReady, Event, Notify, Save, Served, State, TargetsChanged, Tick

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROXY = "nginx"


class World:
    """A state and the time, and what came of the events so far."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State(host="web1")
        self.now, self.monotonic_s = NOON, 10_000.0
        self.actions: list[Action] = []
        self.saved: dict[str, Incident] = {}
        self.causes: dict[str, str] = {}  # by target: the cause that a diagnosis finds
        self.wide: tuple[str, str] | None = None  # a cause without a target, and its layer
        self.roots: dict[str, str] = {}
        self.own_network = ""
        self.aliases: dict[str, tuple[str, ...]] = {}
        self.is_diagnosing = True

    def put(self, event: Event) -> tuple[Action, ...]:
        self.state, actions = step(self.state, event, self.now, self.monotonic_s)
        self.actions += actions
        for action in actions:
            match action:
                case Save():
                    self.saved[action.incident.id] = action.incident
                case Diagnose() if self.is_diagnosing:
                    self.put(self.diagnosis(action))
        return actions

    def wait(self, seconds: int, *, wall_s: float | None = None) -> None:
        """Let time go on, with a tick each second."""
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            self.monotonic_s += 1
            self.put(Tick())
        if wall_s is not None:
            self.now += timedelta(seconds=wall_s - seconds)

    @property
    def minute(self) -> int:
        return int(self.now.timestamp() // 60)

    def configure(self, *served: tuple[str, tuple[str, ...]], group: str = "") -> None:
        self.put(
            TargetsChanged(
                served=tuple(Served(proxy=PROXY, location=location, targets=targets, group=group) for location, targets in served)
            )
        )

    def fail(
        self, target: str, symptom: Symptom = Symptom.CONNECT_REFUSED, *, count: int = 5, location: str = "shop/", **more: object
    ) -> tuple[Action, ...]:
        """Log failed requests."""
        return self.put(failed(self.minute, target, symptom, count, location, **more))

    def serve(self, target: str, *, count: int = 1, location: str = "shop/") -> tuple[Action, ...]:
        """Log requests that succeeded."""
        observed = Observed(log="access.log", proxy=PROXY, lines=count)
        observed.requests[self.minute, RequestKey(PROXY, location, "2xx")] += count
        if target:
            observed.attempts[self.minute, AttemptKey(PROXY, target, "ok")] += count
        return self.put(observed)

    def recover(self, target: str, symptom: Symptom = Symptom.CONNECT_REFUSED, *, count: int = 5) -> None:
        """Log attempts that failed and whose retry succeeded."""
        observed = Observed(log="error.log", proxy=PROXY, lines=count)
        observed.attempts[self.minute, AttemptKey(PROXY, target, symptom.value)] += count
        observed.recovered[self.minute, TargetKey(PROXY, target)] += count
        self.put(observed)

    def check(self, target: str, status: MemberStatus, symptom: Symptom = Symptom.CONNECT_REFUSED) -> None:
        """Report what the checks say of a target now."""
        peer = Target.parse(target)
        assert peer is not None
        last = CheckResult(
            proxy=PROXY, group="", peer=peer, at=self.now, symptom=symptom if status is MemberStatus.DOWN else None
        )
        self.put(Member(proxy=PROXY, group="", peer=peer, status=status, last=last))

    def diagnosis(self, asked: Diagnose) -> DiagnosisReady:
        """Return what a diagnosis finds."""
        findings = [finding(cause, target) for target, cause in self.causes.items()]
        if self.wide:
            cause, layer = self.wide
            findings.insert(0, finding(cause, "", Layer(layer)))
        made = Diagnosis(taken_at=self.now, verdict=Verdict.PROBLEM, findings=tuple(findings))
        return DiagnosisReady(
            ids=asked.ids,
            occasion=asked.occasion,
            at=self.now,
            diagnosis=made,
            roots=self.roots,
            own_network=self.own_network,
            aliases=self.aliases,
        )

    def told(self, *, loud: bool = True) -> list[tuple[Transition, str]]:
        """Return the messages so far."""
        return [
            (action.transition, action.incident.id)
            for action in self.actions
            if isinstance(action, Notify) and not (loud and action.is_quiet)
        ]

    @property
    def open(self) -> list[Incident]:
        return [each.incident for each in self.state.open]


def failed(minute: int, target: str, symptom: Symptom, count: int, location: str, *, history: bool = False) -> Observed:
    """Return failed requests as a log tells them."""
    observed = Observed(log="error.log", proxy=PROXY, lines=count, is_history=history)
    observed.failures[minute, FailureKey(PROXY, location, target, symptom.value)] += count
    observed.requests = Counter({(minute, RequestKey(PROXY, location, "502")): count})
    if target:
        observed.attempts[minute, AttemptKey(PROXY, target, symptom.value)] += count
    return observed


def finding(cause: str, target: str, layer: Layer = Layer.UPSTREAM) -> Finding:
    """Return a finding that a diagnosis stands by."""
    return Finding(
        cause=cause,
        layer=layer,
        confidence=0.95,
        message=f"{cause} at {target or 'this machine'}",
        target=Target.parse(target) if target else None,
        evidence=(Evidence(message="seen", weight=3.0, source="error.log:1"),),
    )
