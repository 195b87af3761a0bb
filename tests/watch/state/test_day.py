"""Days of traffic in fast motion: healthy ones without any incident, and memory that stays flat."""

from __future__ import annotations

import math
import random

import pytest

from tests.watch.state.simulated import World
from why502.model.logs import Symptom
from why502.watch.model import MemberStatus

MEMBERS = ("127.0.0.1:3001", "127.0.0.1:3002", "127.0.0.1:3003")


def day(world: World, rng: random.Random, *, minutes: int = 24 * 60, every_s: int = 20) -> None:
    """Let users ask, more by day than by night, with the few failures of every healthy site."""
    for minute in range(minutes):
        rate = 60 + 55 * math.sin(2 * math.pi * minute / (24 * 60))
        for _ in range(60 // every_s):
            for member in MEMBERS:
                world.serve(member, count=max(int(rng.gauss(rate, rate / 4)) * every_s // 60, 0))
            if rng.random() < 0.05:
                world.fail(rng.choice(MEMBERS), rng.choice((Symptom.RESET_BEFORE_HEADER, Symptom.READ_TIMED_OUT)), count=1)
            if rng.random() < 0.3:
                world.fail("", rng.choice((Symptom.CLIENT_CLOSED, Symptom.RATE_LIMITED)), count=rng.randint(1, 3))
            world.wait(every_s)
        if minute % 360 == 100:  # a rolling restart, whose few failures a retry hides
            for member in MEMBERS:
                world.check(member, MemberStatus.DOWN, Symptom.CONNECT_REFUSED)
                world.recover(member, count=8)
                world.wait(5)
                world.check(member, MemberStatus.UP)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2])
def test_a_healthy_day_has_no_incident(seed: int) -> None:
    world = World()
    world.configure(("shop/", MEMBERS))
    for member in MEMBERS:
        world.check(member, MemberStatus.UP)
    day(world, random.Random(seed), minutes=8 * 60 if seed > 1 else 24 * 60)
    assert [incident for incident in world.saved.values() if incident.severity.value != "none"] == []
    assert not world.told(loud=False)


def test_a_bad_member_among_good_ones_is_one_ticket() -> None:
    world = World()
    world.configure(("shop/", MEMBERS))
    for _ in range(30):
        for member in MEMBERS:
            world.serve(member, count=100)
        world.fail(MEMBERS[1], Symptom.RESET_BEFORE_HEADER, count=2)
        world.wait(60)
    assert [(incident.target, incident.severity.value) for incident in world.saved.values()] == [(MEMBERS[1], "ticket")]
    assert len(world.told()) == 1


@pytest.mark.thorough
def test_a_month_of_outages_leaves_a_state_of_constant_size() -> None:
    world = World()
    world.configure(("shop/", MEMBERS))
    sizes = []
    for outage in range(60):
        world.actions.clear()
        world.causes = {MEMBERS[outage % 3]: "backend-not-running"}
        world.fail(MEMBERS[outage % 3], count=50, location=f"shop/{outage}")
        world.wait(400)
        world.serve(MEMBERS[outage % 3], count=10)
        world.wait(3000)
        state = world.state
        sizes.append(len(state.signals) + len(state.tracked) + len(state.streaks) + len(state.traffic) + len(state.past))
    assert max(sizes[30:]) <= max(sizes[:30]) + 2
