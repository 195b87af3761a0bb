"""Limits that will be reached and this machine's own network open incidents, and they close."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from tests.watch.state.simulated import PROXY, World
from why502.watch.concern import Scope
from why502.watch.model import Blindness, Limit, LimitKind, Severity, Transition
from why502.watch.state.resources import NAMES
from why502.watch.state.values import Notify, Served, TargetsChanged

APP = "127.0.0.1:3001"


def soon(world: World, severity: Severity | None = Severity.PAGE, **fields: object) -> Limit:
    made = {
        "kind": LimitKind.MEMORY,
        "subject": "app.service",
        "at": world.now,
        "used": 75.0,
        "limit": 100.0,
        "severity": severity,
    }
    return Limit(**{**made, "exhausted_at": world.now + timedelta(minutes=40), "reason": "it rose for 2 h", **fields})


def told(world: World) -> list[tuple[Transition, Severity]]:
    return [(action.transition, action.incident.severity) for action in world.actions if isinstance(action, Notify)]


def test_a_forecast_is_told_once_and_closed_when_it_is_over():
    world = World()
    for _ in range(20):
        world.put(soon(world))
        world.wait(10)
    assert told(world) == [(Transition.OPENED, Severity.PAGE)]
    (incident,) = world.saved.values()
    assert (incident.symptom, incident.location) == ("limit-soon", "memory app.service")
    assert any(
        "memory app.service will be full about 12:40 UTC: 75% of 100 used; it rose for 2 h" in one.message
        for one in incident.timeline
    )
    for _ in range(40):
        world.put(soon(world, None))
        world.wait(10)
    assert told(world)[-1][0] is Transition.RESOLVED
    assert len(told(world)) == 2


def test_a_ticket_that_becomes_a_page_is_told_again():
    world = World()
    world.put(soon(world, Severity.TICKET, exhausted_at=world.now + timedelta(hours=20)))
    world.wait(10)
    world.put(soon(world))
    assert [severity for _, severity in told(world)] == [Severity.TICKET, Severity.PAGE]


def test_a_sample_without_a_forecast_opens_nothing():
    world = World()
    for kind in LimitKind:
        world.put(soon(world, None, kind=kind, used=99.0))
    world.wait(120)
    assert told(world) == []


def test_a_certificate_is_sampled_rarely_and_stays_open():
    world = World()
    for _ in range(6):
        world.put(soon(world, Severity.TICKET, kind=LimitKind.CERTIFICATE, subject="front shop.example"))
        world.wait(600)
    assert told(world) == [(Transition.OPENED, Severity.TICKET)]
    assert next(iter(world.saved.values())).symptom == "certificate-ends"


@pytest.mark.parametrize("kind", LimitKind)
def test_every_kind_has_words(kind):
    world = World()
    world.put(soon(world, kind=kind))
    (incident,) = world.saved.values()
    assert NAMES[kind] in incident.timeline[-1].message
    world = World()
    world.put(msgspec.structs.replace(soon(world, kind=kind), exhausted_at=None))
    assert len(told(world)) == 1


def test_the_own_network_is_one_incident():
    world = World()
    world.put(Blindness(at=world.now, reason="no route to 10.0.1.5"))
    world.wait(60)
    world.put(Blindness(at=world.now, reason="no route to 10.0.1.5"))
    assert told(world) == [(Transition.OPENED, Severity.PAGE)]
    world.put(Blindness(at=world.now))
    assert told(world)[-1][0] is Transition.RESOLVED


@pytest.mark.parametrize("has_cause", [False, True])
@pytest.mark.parametrize(
    ("kind", "subject"),
    [(LimitKind.LISTEN_QUEUE, APP), (LimitKind.MEMORY, "app.service"), (LimitKind.FPM_CHILDREN, "app.service pool www")],
)
def test_a_limit_and_the_failures_that_it_leads_to_are_one_incident(kind: LimitKind, subject: str, has_cause: bool) -> None:
    world = World()
    world.causes = {APP: "listen-queue-overflow"} if has_cause else {}
    world.put(
        TargetsChanged(
            served=(Served(proxy=PROXY, location="shop/", targets=(APP,)),), scopes={APP: Scope(units=("app.service",))}
        )
    )
    for _ in range(3):
        world.put(soon(world, kind=kind, subject=subject))
        world.wait(10)
    (before,) = world.open
    for _ in range(6):
        world.fail(APP, count=10)
        world.put(soon(world, kind=kind, subject=subject))
        world.wait(10)
    (incident,) = world.open
    assert (incident.id, incident.key, incident.target, incident.failures) == (before.id, before.key, APP, 60)
    assert incident.cause == ("listen-queue-overflow" if has_cause else "")
    assert len(world.saved) == 1
    assert len(world.told()) == 1
    world.wait(400)  # neither a forecast nor a request
    assert world.open
    for _ in range(10):
        world.serve(APP, count=100)
        world.wait(60)
    assert not world.open
    assert world.told()[-1][0] is Transition.RESOLVED


def test_a_limit_of_something_else_is_another_incident() -> None:
    world = World()
    world.configure(("shop/", (APP,)))
    world.put(soon(world))
    world.fail(APP)
    world.wait(20)
    assert len(world.open) == 2
