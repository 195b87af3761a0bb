"""What holds for every order of events: one open incident of each root, each told once, closed only by proof, a bounded state."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.watch.state.simulated import PROXY, World
from why502.model.logs import Symptom
from why502.watch.model import Change, ChangeKind, Limit, LimitKind, MemberStatus, Severity, Transition
from why502.watch.state.families import UNHURT, family_of
from why502.watch.state.step import restored
from why502.watch.state.values import Notify, State, Tick

TARGETS = ("127.0.0.1:3001", "127.0.0.1:3002", "10.0.0.1:80", "")
SYMPTOMS = (
    Symptom.CONNECT_REFUSED,
    Symptom.READ_TIMED_OUT,
    Symptom.CLOSED_BEFORE_HEADER,
    Symptom.NO_LIVE_UPSTREAMS,
    Symptom.HEADER_TOO_BIG,
    Symptom.RATE_LIMITED,
    Symptom.CLIENT_CLOSED,
)
CAUSES = ("backend-not-running", "proxy-timeout-too-short", "premature-close", "response-header-too-big", "client-closed-request")

targets = st.sampled_from(TARGETS)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("fail"), targets, st.sampled_from(SYMPTOMS), st.integers(1, 40)),
        st.tuples(st.just("serve"), targets, st.integers(1, 40)),
        st.tuples(st.just("recover"), st.sampled_from(TARGETS[:3]), st.integers(1, 40)),
        st.tuples(st.just("check"), st.sampled_from(TARGETS[:3]), st.sampled_from(tuple(MemberStatus))),
        st.tuples(st.just("wait"), st.sampled_from((1, 5, 20, 61, 400, 2000))),
        st.tuples(st.just("cause"), st.sampled_from(TARGETS[:3]), st.sampled_from(CAUSES)),
        st.tuples(st.just("clock"), st.sampled_from((-3600.0, 3600.0, 20.0))),
        st.tuples(st.just("change"), st.booleans()),
        st.tuples(st.just("full"), st.floats(0, 1)),
        st.tuples(st.just("restart")),
    ),
    max_size=60,
)


def run(steps: list[tuple]) -> World:
    world = World()
    world.configure(("shop/", TARGETS[:2]), ("blog/", TARGETS[2:3]))
    for name, *rest in steps:
        match name:
            case "fail":
                world.fail(rest[0], rest[1], count=rest[2])
            case "serve":
                world.serve(rest[0], count=rest[1])
            case "recover":
                world.recover(rest[0], count=rest[1])
            case "check":
                world.check(*rest)
            case "wait":
                world.wait(rest[0])
            case "cause":
                world.causes[rest[0]] = rest[1]
            case "clock":
                world.wait(1, wall_s=rest[0])
            case "change":
                world.put(
                    Change(kind=ChangeKind.UNIT, subject="shop.service", at=world.now, is_planned=rest[0], detail="stopped")
                )
            case "full":
                world.put(Limit(kind=LimitKind.DISK, subject="/", at=world.now, used=rest[0], limit=1.0))
            case "restart":
                world.state = restored(world.saved.values(), (), host="web1", now=world.now, monotonic_s=world.monotonic_s)
    return world


@pytest.mark.thorough
@given(operations)
@example(  # a restart between failures that are intended and others that are not
    [
        ("fail", TARGETS[2], Symptom.RATE_LIMITED, 5),
        ("recover", TARGETS[2], 1),
        ("fail", TARGETS[1], Symptom.CONNECT_REFUSED, 3),
        ("cause", TARGETS[1], "backend-not-running"),
        ("restart",),
        ("fail", TARGETS[1], Symptom.CONNECT_REFUSED, 1),
    ]
)
@settings(max_examples=150, deadline=None)
def test_any_order_of_events(steps: list[tuple]) -> None:
    world = run(steps)
    open_keys = Counter(incident.key for incident in world.open)
    assert not [key for key, count in open_keys.items() if count > 1], "two open incidents of one key"
    opened = Counter(
        action.incident.id for action in world.actions if isinstance(action, Notify) and action.transition is Transition.OPENED
    )
    assert not [id_ for id_, count in opened.items() if count > 1], "told twice"
    numbers = [(action.incident.id, action.number) for action in world.actions if isinstance(action, Notify)]
    assert len(numbers) == len(set(numbers)), "two messages with one key"
    for incident in world.saved.values():
        if incident.messages == 0:
            assert incident.id not in opened
        symptoms = {family_of(symptom) for symptom in incident.symptoms}
        if symptoms and symptoms <= UNHURT and not incident.cause:
            assert incident.severity is Severity.NONE
        assert incident.closed_at is None or incident.closing
    world.wait(20)
    for incident in world.open:
        is_due = incident.severity is not Severity.NONE and not incident.caused_by
        assert not is_due or incident.messages > 0, "nobody was told"


@given(operations)
@settings(max_examples=50, deadline=None)
def test_a_step_changes_no_earlier_state(steps: list[tuple]) -> None:
    world = run(steps)
    before = {each.name: getattr(world.state, each.name) for each in fields(State)}
    copies = {name: dict(value) if isinstance(value, dict) else value for name, value in before.items()}
    world.put(Tick())
    world.fail(TARGETS[0])
    assert before == copies


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(SYMPTOMS), st.integers(1, 9)), max_size=400))
@settings(max_examples=20, deadline=None)
def test_the_state_is_bounded_whatever_fails(failures: list[tuple[int, Symptom, int]]) -> None:
    world = World()
    for number, symptom, count in failures:
        world.fail(f"10.{number // 250}.0.{number % 250}:80", symptom, count=count, location=f"l{number % 500}")
    world.wait(5)
    assert len(world.state.signals) <= 2000
    assert len(world.state.streaks) <= 2000
    assert len(world.open) <= 200
    assert all(len(incident.targets) <= 256 and len(incident.timeline) <= 200 for incident in world.open)


@given(st.integers(0, 5), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_nothing_closes_without_a_success_or_a_check(failures: int, minutes: int) -> None:
    world = World()
    world.configure(("shop/", TARGETS[:1]))
    for _ in range(failures + 1):
        world.fail(TARGETS[0], count=9)
    world.wait(60 * minutes)
    assert world.open
    assert all(incident.proxy == PROXY for incident in world.open)
