"""A daemon that starts again goes on with the same incidents and tells nobody twice."""

from __future__ import annotations

import pytest

from tests.watch.state.simulated import NOON, World
from tests.watch.state.test_step import APP, outage
from why502.model.logs import Symptom
from why502.watch.model import Member, Severity, Transition
from why502.watch.state.step import restored


def again(world: World, *, after_s: int = 5) -> World:
    """Return the world after a restart of the daemon: only what was saved is left."""
    world.wait(after_s)
    state = restored(world.saved.values(), (), host="web1", now=world.now, monotonic_s=50.0)
    new = World(state)
    new.now, new.monotonic_s = world.now, 50.0
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


def target():
    from why502.model.target import Target

    return Target(host="127.0.0.1", port=3001)
