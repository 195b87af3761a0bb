"""A daemon that starts again goes on with the same incidents and tells nobody twice."""

from __future__ import annotations

import pytest

from tests.watch.state.simulated import NOON, World
from tests.watch.state.test_step import APP, outage
from why502.model.logs import Symptom
from why502.model.target import Target
from why502.watch.model import Member, Observed, Severity, Transition
from why502.watch.state.burn import Objective
from why502.watch.state.step import restored
from why502.watch.state.values import State, TargetsChanged


def again(world: World, *, after_s: int = 5, monotonic_s: float = 50.0) -> World:
    """Return the world after a restart of the daemon: only what was saved is left."""
    world.wait(after_s)
    state = restored(world.saved.values(), (), host="web1", now=world.now, monotonic_s=monotonic_s)
    new = World(state)
    new.now, new.monotonic_s = world.now, monotonic_s
    new.causes, new.saved = world.causes, dict(world.saved)
    return new


def test_the_open_incident_has_the_same_id_and_no_second_page() -> None:
    before = outage()
    (incident,) = before.open
    world = again(before)
    world.configure(("shop/", (APP,)))
    world.fail(APP)
    world.wait(60)
    assert [each.id for each in world.open] == [incident.id]
    assert world.open[0].opened_at == incident.opened_at
    assert world.open[0].failures == incident.failures + 5
    assert not world.told()


def test_it_is_closed_by_proof_after_the_restart() -> None:
    world = again(outage())
    world.wait(299)
    world.serve(APP, count=10)
    assert world.open, "five minutes of silence count from the restart"
    world.wait(2)
    assert not world.open
    assert [transition for transition, _ in world.told()] == [Transition.RESOLVED]


def test_what_was_not_announced_before_the_restart_is_announced_after_it() -> None:
    before = World()
    before.is_diagnosing = False
    before.fail(APP)
    world = again(before)
    world.wait(20)
    assert [transition for transition, _ in world.told()] == [Transition.OPENED]


def test_an_incident_that_closed_before_the_restart_is_reopened_within_half_an_hour() -> None:
    before = outage()
    before.wait(310)
    before.serve(APP, count=10)
    before.wait(2)
    (first,) = before.saved
    world = again(before, after_s=60)
    world.fail(APP)
    world.wait(5)
    assert [each.id for each in world.open] == [first]
    later = again(before, after_s=3600)
    later.fail(APP)
    later.wait(5)
    assert later.open[0].earlier == first


@pytest.mark.parametrize("symptom", [Symptom.CLOSED_BEFORE_HEADER, Symptom.NO_LIVE_UPSTREAMS])
def test_another_symptom_of_the_same_target_joins_it(symptom: Symptom) -> None:
    world = again(outage())
    world.fail(APP, symptom, count=50)
    world.wait(20)
    assert len(world.open) == 1


def test_members_go_on_as_they_were() -> None:
    world = World(restored((), (Member(proxy="nginx", group="", peer=target(), since=NOON),), monotonic_s=1.0))
    assert [health.status.value for health in world.state.health.values()] == ["unknown"]


def test_severity_is_kept() -> None:
    world = again(outage())
    assert world.open[0].severity is Severity.PAGE


def test_an_objective_that_is_missed_is_one_incident_over_the_restart_and_closes_after_it() -> None:
    objective = Objective(name="shop", share=0.999)
    before = World(State(host="web1", objectives=(objective,)))
    for _ in range(45):
        before.serve(APP, count=995)
        before.fail(APP, Symptom.READ_TIMED_OUT, count=4)
        before.wait(60)
    (incident,) = [each for each in before.open if each.symptom == "allowance-used"]
    world = again(before, monotonic_s=before.monotonic_s)
    world.state.objectives, world.state.budgets = (objective,), before.state.budgets
    world.wait(120)
    assert [each.id for each in world.open if each.symptom == "allowance-used"] == [incident.id]
    world.state.budgets = {}
    world.wait(400)
    assert not [each for each in world.open if each.symptom == "allowance-used"]


def test_a_log_that_cannot_be_read_is_one_incident_over_the_restart_and_closes_after_it() -> None:
    before = World()
    for _ in range(4):
        before.put(Observed(log="error.log", proxy="nginx", reason="permission denied"))
        before.wait(60)
    (incident,) = before.open
    world = again(before)
    for _ in range(4):
        world.put(Observed(log="error.log", proxy="nginx", reason="permission denied"))
        world.wait(60)
    assert [each.id for each in world.open] == [incident.id]
    assert not world.told()
    world.put(Observed(log="error.log", proxy="nginx"))
    world.wait(61)
    assert not world.open


def test_a_gateway_that_is_still_gone_after_the_restart_is_not_said_to_run() -> None:
    before = World()
    before.put(TargetsChanged(running=frozenset({"nginx"})))
    before.put(TargetsChanged())
    before.wait(30)
    (incident,) = before.open
    world = again(before)
    world.put(TargetsChanged())
    world.wait(600)
    assert [each.id for each in world.open] == [incident.id]
    world.put(TargetsChanged(running=frozenset({"nginx"})))
    world.wait(2)
    assert not world.open


def target() -> Target:
    return Target(host="127.0.0.1", port=3001)
