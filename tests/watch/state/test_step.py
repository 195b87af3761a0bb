"""Incidents open for what users suffer, once for one root, and close only by proof."""

from __future__ import annotations

import pytest

from tests.watch.state.simulated import World
from why502.model.logs import Symptom
from why502.watch.model import MemberStatus, Occasion, Severity, Transition
from why502.watch.state.values import Diagnose

APP = "127.0.0.1:3001"


def outage(**causes: str) -> World:
    world = World()
    world.causes = causes or {APP: "backend-not-running"}
    world.configure(("shop/", (APP,)))
    world.serve(APP, count=10)
    world.wait(60)
    world.fail(APP)
    world.wait(3)
    return world


def test_a_burst_opens_one_incident_and_one_message_with_the_cause() -> None:
    world = outage()
    assert [incident.cause for incident in world.open] == ["backend-not-running"]
    assert world.told() == [(Transition.OPENED, world.open[0].id)]
    assert world.open[0].severity is Severity.PAGE
    for _ in range(100):
        world.wait(10)
        world.fail(APP)
    assert len(world.open) == 1
    assert world.open[0].failures == 505
    assert len(world.told()) == 1


def test_few_failures_among_many_successes_open_nothing() -> None:
    world = World()
    for _ in range(30):
        world.fail(APP, count=2)
        world.serve(APP, count=50)
        world.wait(60)
    assert not world.saved


def test_three_of_three_requests_of_a_quiet_route_open() -> None:
    world = World()
    world.fail(APP, count=1)
    world.wait(20)
    world.fail(APP, count=1)
    assert not world.open
    world.wait(20)
    world.fail(APP, count=1)
    assert len(world.open) == 1


def test_without_a_diagnosis_the_message_waits_at_most_fifteen_seconds() -> None:
    world = World()
    world.is_diagnosing = False
    world.fail(APP)
    world.wait(14)
    assert not world.told()
    world.wait(1)
    assert [transition for transition, _ in world.told()] == [Transition.OPENED]
    assert world.open[0].cause == ""


def test_it_is_diagnosed_at_its_opening_later_and_at_its_end() -> None:
    world = World()
    world.causes = {APP: "backend-not-running"}
    for _ in range(40):
        world.fail(APP, count=10)
        world.wait(10)
    for _ in range(20):
        world.serve(APP, count=100)
        world.wait(60)
    asked = [action.occasion for action in world.actions if isinstance(action, Diagnose)]
    assert (asked[0], asked[-1]) == (Occasion.OPENED, Occasion.CLOSED)
    assert Occasion.LATER in asked
    (incident,) = world.saved.values()
    assert [one.occasion for one in incident.diagnosed][:1] == [Occasion.OPENED]
    assert incident.closed_at


def test_thirty_routes_of_one_dead_backend_are_one_incident_that_lists_them() -> None:
    world = World()
    world.causes = {APP: "backend-not-running"}
    world.configure(*((f"shop/{number}", (APP,)) for number in range(30)))
    for number in range(30):
        world.fail(APP, count=3, location=f"shop/{number}")
    world.wait(20)
    assert len(world.saved) == 1
    assert len(world.open[0].locations) == 30
    assert len(world.told()) == 1


def test_thirty_backends_of_one_dead_database_are_one_incident_that_lists_them() -> None:
    world = World()
    targets = [f"127.0.0.1:{4000 + number}" for number in range(30)]
    world.configure(*((f"shop/{target}", (target,)) for target in targets))
    world.causes = dict.fromkeys(targets, "backend-dependency-down")
    world.roots = dict.fromkeys(targets, "127.0.0.1:5432")
    world.is_diagnosing = False
    for target in targets:
        world.fail(target, Symptom.UPSTREAM_STATUS, location=f"shop/{target}")
    world.is_diagnosing = True
    world.wait(60)
    assert len([incident for incident in world.saved.values() if not incident.caused_by]) == 1
    assert set(world.open[0].targets) == set(targets)
    assert len(world.told()) == 1


@pytest.mark.thorough
def test_five_thousand_targets_are_one_incident() -> None:
    world = World()
    for number in range(5000):
        world.fail(f"10.0.{number // 250}.{number % 250}:80", count=5, location="shop/")
    world.wait(60)
    assert len(world.saved) == 1
    assert len(world.told()) == 1
    assert len(world.state.signals) <= 2000


def test_two_faults_at_once_are_two_incidents() -> None:
    other = "127.0.0.1:3002"
    world = World()
    world.causes = {APP: "backend-not-running", other: "proxy-timeout-too-short"}
    world.configure(("shop/", (APP,)), ("blog/", (other,)))
    world.is_diagnosing = False
    world.fail(APP)
    world.fail(other, Symptom.READ_TIMED_OUT, location="blog/")
    assert len(world.open) == 1
    world.is_diagnosing = True
    world.wait(3)
    assert {incident.cause for incident in world.open} == {"backend-not-running", "proxy-timeout-too-short"}
    assert len(world.told()) == 2
    assert {incident.targets for incident in world.open} == {(APP,), (other,)}


@pytest.mark.parametrize(
    ("names", "old", "count"),
    [
        (("app.internal:3000",), "10.0.0.1:3000", 1),
        (("app.internal:3000",), "10.0.0.1:3001", 2),  # another port is another target
        (("app.internal:3000", "api.internal:3000"), "10.0.0.1:3000", 2),  # whose address it was is not known
    ],
)
def test_a_name_and_its_earlier_address_are_one_incident(names: tuple[str, ...], old: str, count: int) -> None:
    world = World()
    world.configure(("shop/", names))
    world.aliases = dict.fromkeys(names, ("10.0.0.2:3000",))
    world.causes = {old: "stale-dns"}
    world.fail(names[0])  # before the daemon knew that the name leads elsewhere
    world.fail(old)
    world.wait(20)
    assert len(world.told()) == count
    assert "stale-dns" in {incident.cause for incident in world.open}


@pytest.mark.parametrize(("old", "cause"), [("10.0.0.1:3000", "stale-dns"), ("10.0.0.1:3001", "")])
def test_the_cause_of_an_earlier_address_is_that_of_the_name_that_fails(old: str, cause: str) -> None:
    world = World()
    world.configure(("shop/", ("app.internal:3000",)), ("api/", ("api.internal:3000",)))
    world.aliases = dict.fromkeys(("app.internal:3000", "api.internal:3000"), ("10.0.0.2:3000",))
    world.causes = {old: "stale-dns"}
    world.fail("app.internal:3000")
    world.wait(20)
    assert [incident.cause for incident in world.open] == [cause]


def test_the_effect_of_an_open_incident_is_not_told() -> None:
    other = "127.0.0.1:3002"
    world = World()
    world.configure(("shop/", (APP,)), ("blog/", (other,)))
    world.wide = ("disk-full", "platform")
    world.fail(APP, Symptom.CLOSED_BEFORE_HEADER)
    world.wait(120)
    assert [incident.cause for incident in world.open] == ["disk-full"]
    world.causes = {other: "application-error"}
    world.wide = None
    world.fail(other, Symptom.UPSTREAM_STATUS, location="blog/")
    world.wait(30)
    root, effect = world.open
    assert effect.caused_by == root.id
    assert set(root.targets) == {APP, other}
    assert len(world.told(loud=False)) == len([1 for _, id_ in world.told(loud=False) if id_ == root.id])


def test_it_closes_only_when_the_same_kind_of_request_succeeds() -> None:
    world = outage()
    world.wait(3600)
    assert world.open, "silence proves nothing"
    assert any("no traffic" in step.message for step in world.open[0].timeline)
    world.serve("127.0.0.1:9", count=100, location="other/")
    world.wait(60)
    assert world.open, "other requests prove nothing"
    world.serve(APP, count=3)
    world.wait(2)
    assert not world.open
    assert world.told()[-1][0] is Transition.RESOLVED
    assert "3 requests of the same kind succeeded" in next(iter(world.saved.values())).closing


def test_it_does_not_close_within_five_minutes() -> None:
    world = outage()
    for _ in range(29):
        world.wait(10)
        world.serve(APP, count=5)
    assert world.open
    world.wait(30)
    world.serve(APP)
    world.wait(2)
    assert not world.open


def test_rare_failures_need_more_successes_and_more_time() -> None:
    world = World()
    world.causes = {APP: "backend-not-running"}
    for _ in range(40):
        world.serve(APP, count=95)
        world.fail(APP, count=5)
        world.wait(30)
        world.serve(APP, count=95)
        world.wait(30)
    assert len(world.open) == 1
    world.wait(320)
    world.serve(APP, count=50)
    world.wait(5)
    assert world.open, "50 successes say little where one in forty requests failed"
    world.serve(APP, count=1000)
    world.wait(5)
    assert not world.open


def test_without_traffic_a_check_proves_it() -> None:
    world = outage()
    world.check(APP, MemberStatus.DOWN)
    world.wait(900)
    assert world.open
    world.check(APP, MemberStatus.UP)
    world.wait(2)
    assert not world.open
    assert "the check succeeds again" in next(iter(world.saved.values())).closing


def test_a_return_within_half_an_hour_is_the_same_incident_and_wakes_nobody() -> None:
    world = outage()
    world.wait(400)
    world.serve(APP, count=10)
    world.wait(2)
    first = next(iter(world.saved))
    world.wait(600)
    world.fail(APP)
    world.wait(20)
    assert [incident.id for incident in world.open] == [first]
    assert world.open[0].times_reopened == 1
    assert [transition for transition, _ in world.told()] == [Transition.OPENED, Transition.RESOLVED]
    assert (Transition.REOPENED, first) in world.told(loud=False)


def test_a_flapping_incident_says_so_at_most_once_an_hour() -> None:
    world = outage()
    for _ in range(8):
        world.wait(310)
        world.serve(APP, count=10)
        world.wait(2)
        assert not world.open
        world.wait(60)
        world.fail(APP)
        world.wait(1)
    loud = [transition for transition, _ in world.told()]
    assert len(world.saved) == 1
    assert loud.count(Transition.OPENED) == 1
    assert loud.count(Transition.REOPENED) <= 2
    assert any("flapping" in step.message for step in world.open[0].timeline)


def test_a_later_return_names_the_incident_before() -> None:
    world = outage()
    world.wait(400)
    world.serve(APP, count=10)
    world.wait(2)
    first = next(iter(world.saved))
    world.wait(3600)
    world.fail(APP)
    world.wait(2)
    assert world.open[0].earlier == first
    assert world.open[0].id != first
    assert any("the same failure happened on 23 November" in step.message for step in world.open[0].timeline)


@pytest.mark.parametrize("symptom", [Symptom.RATE_LIMITED, Symptom.OWN_STATUS, Symptom.CLIENT_CLOSED, Symptom.DENIED_BY_RULE])
def test_what_the_gateway_or_the_client_wanted_wakes_nobody(symptom: Symptom) -> None:
    world = World()
    for _ in range(60):
        world.fail("", symptom, count=200)
        world.wait(10)
    world.wait(3600)
    assert not world.told(loud=False)


def test_retries_that_help_for_a_moment_open_nothing_and_all_the_time_a_ticket() -> None:
    world = World()
    world.causes = {APP: "backend-not-running"}
    world.recover(APP, count=50)
    world.wait(120)
    assert not world.saved
    for _ in range(12):
        world.recover(APP, count=50)
        world.wait(60)
    assert [incident.severity for incident in world.open] == [Severity.TICKET]


def test_a_check_that_falls_opens_a_ticket_if_others_serve_and_a_page_if_none_is_left() -> None:
    other = "127.0.0.1:3002"
    world = World()
    world.configure(("shop/", (APP, other)))
    world.check(APP, MemberStatus.UP)
    world.check(other, MemberStatus.UP)
    world.serve(other, count=10)
    world.check(APP, MemberStatus.DOWN)
    world.wait(20)
    assert [incident.severity for incident in world.open] == [Severity.TICKET]
    world.check(other, MemberStatus.DOWN)
    world.wait(60)
    assert max((incident.severity for incident in world.open), key=["none", "ticket", "page"].index) is Severity.PAGE


def test_unknown_is_neither_up_nor_down() -> None:
    world = World()
    world.configure(("shop/", (APP,)))
    world.check(APP, MemberStatus.UNKNOWN)
    world.wait(600)
    assert not world.saved


def test_history_opens_nothing() -> None:
    world = World()
    world.fail(APP, count=1000, history=True)
    world.wait(120)
    assert not world.saved


def test_lines_of_yesterday_open_nothing() -> None:
    from tests.watch.state.simulated import failed

    world = World()
    world.put(failed(world.minute - 24 * 60, APP, Symptom.CONNECT_REFUSED, 1000, "shop/"))
    world.wait(120)
    assert not world.saved


@pytest.mark.parametrize("wall_s", [3600.0, -3600.0, 8 * 3600.0])
def test_a_step_of_the_clock_opens_and_closes_nothing(wall_s: float) -> None:
    world = outage()
    before = world.open[0].id
    world.serve(APP, count=10)
    world.wait(1, wall_s=wall_s)
    world.wait(5)
    assert [incident.id for incident in world.open] == [before]
    world.fail(APP)
    assert world.open[0].failures == 10
    quiet = World()
    quiet.serve(APP, count=10)
    quiet.wait(1, wall_s=wall_s)
    quiet.wait(60)
    assert not quiet.saved


def test_the_cause_is_of_the_reason_that_the_lines_give_not_of_another_one_near_by() -> None:
    """A name that cannot be resolved has no target; that another address of it is not served is beside the point."""
    world = World()
    world.causes = {APP: "wrong-address"}
    world.wide = ("resolver-missing", "proxy")
    world.configure(("shop/", (APP,)))
    world.fail("", Symptom.NO_RESOLVER, count=10)
    world.wait(20)
    (incident,) = world.open
    assert incident.cause == "resolver-missing"


def test_a_failure_without_a_place_is_of_the_cause_that_explains_nothing_else() -> None:
    """Both causes could be behind a name that is not found; one of them already has failures of its own."""
    world = World()
    world.causes = {APP: "backend-crash-loop", "": "proxy-config-invalid"}
    world.configure(("shop/", (APP,)))
    world.is_diagnosing = False
    world.fail(APP)
    world.fail("", Symptom.NAME_NOT_FOUND, location="elsewhere/")
    world.is_diagnosing = True
    world.wait(20)
    targets = {incident.cause: incident.targets for incident in world.open}
    assert targets == {"backend-crash-loop": (APP,), "proxy-config-invalid": ()}
