"""The daemon's own sight: logs that cannot be read or fell silent, a gateway that is gone, this machine's own network."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from tests.watch.state.simulated import PROXY, World
from why502.model.logs import Symptom
from why502.watch.model import Change, ChangeKind, Limit, LimitKind, MemberStatus, Observed, Severity
from why502.watch.state.values import TargetsChanged

APP = "127.0.0.1:3001"


def write(world: World, *, minutes: int, lines: int = 60) -> None:
    for _ in range(minutes):
        world.serve(APP, count=lines)
        world.wait(60)


def test_a_log_that_falls_silent_on_a_full_disk_names_the_file_system_within_five_minutes() -> None:
    world = World()
    world.configure(("shop/", (APP,)))
    world.check(APP, MemberStatus.UP)
    for name in ("/", "/var/log"):
        world.put(Limit(kind=LimitKind.DISK, subject=name, at=world.now, used=0.5 if name == "/" else 1.0, limit=1.0))
    world.state.logs.clear()
    for _ in range(20):
        world.put(Observed(log="/var/log/nginx/access.log", proxy=PROXY, lines=60))
        world.wait(60)
    world.wait(300)
    (incident,) = world.open
    assert incident.severity is Severity.PAGE
    assert "the file system /var/log is full" in incident.timeline[-1].message
    assert len(world.told()) == 1
    world.put(Observed(log="/var/log/nginx/access.log", proxy=PROXY, lines=60))
    world.wait(61)
    assert not world.open


def test_silence_without_a_reason_is_a_ticket_and_none_where_the_checks_fail_or_few_lines_are_usual() -> None:
    silent = World()
    silent.check(APP, MemberStatus.UP)
    write(silent, minutes=20)
    silent.wait(700)
    assert [incident.severity for incident in silent.open] == [Severity.TICKET]
    quiet = World()
    quiet.check(APP, MemberStatus.UP)
    write(quiet, minutes=20, lines=2)
    quiet.wait(3600)
    assert not quiet.saved
    unknown = World()
    write(unknown, minutes=20)
    unknown.wait(3600)
    assert not unknown.saved


def test_a_log_that_cannot_be_read_is_a_ticket_after_two_minutes_and_closes_when_it_can() -> None:
    world = World()
    for _ in range(4):
        world.put(Observed(log="/var/log/nginx/error.log", proxy=PROXY, reason="permission denied"))
        world.wait(60)
    (incident,) = world.open
    assert incident.severity is Severity.TICKET
    assert "/var/log/nginx/error.log cannot be read: permission denied" in incident.timeline[-1].message
    world.put(Observed(log="/var/log/nginx/error.log", proxy=PROXY))
    world.wait(60)
    assert not world.open


def test_a_log_of_another_format_is_a_ticket_until_its_lines_can_be_parsed() -> None:
    world = World()
    read = Observed(log="/var/log/nginx/access.log", proxy=PROXY, lines=60)
    for misfit in (None, "30 % of its lines", "40 % of its lines", None):
        world.put(replace(read, misfit=misfit))
        world.wait(60)
    (incident,) = world.open
    assert incident.severity is Severity.TICKET
    assert "/var/log/nginx/access.log has an unexpected format: 30 % of its lines" in incident.timeline[-1].message
    assert len(world.told()) == 1
    world.put(replace(read, misfit=""))
    world.wait(60)
    assert not world.open


def gone(world: World, *, is_planned: bool) -> None:
    configured = TargetsChanged(running=frozenset({PROXY}), gateway_units={PROXY: ("nginx.service",)})
    world.put(configured)
    detail = "stopped" if is_planned else "failed: signal"
    world.put(
        Change(kind=ChangeKind.UNIT, subject="nginx.service", at=world.now, detail=detail, units=("nginx.service",),
        is_planned=is_planned)
    )  # fmt: skip
    world.put(structs.replace(configured, running=frozenset()))


def test_a_gateway_that_is_gone_is_a_page_and_closes_when_it_runs() -> None:
    world = World()
    world.wide = ("proxy-not-running", "proxy")
    gone(world, is_planned=False)
    world.wait(5)
    assert not world.saved
    world.wait(20)
    (incident,) = world.open
    assert (incident.severity, incident.cause) == (Severity.PAGE, "proxy-not-running")
    world.wait(3600)
    assert world.open
    world.put(TargetsChanged(running=frozenset({PROXY})))
    world.wait(2)
    assert not world.open
    assert len(world.told()) == 2


def test_a_gateway_that_somebody_stopped_is_no_incident() -> None:
    world = World()
    gone(world, is_planned=True)
    world.wait(4 * 3600)
    assert not world.saved


def test_a_gateway_that_restarts_is_no_incident() -> None:
    world = World()
    gone(world, is_planned=False)
    world.wait(5)
    world.put(TargetsChanged(running=frozenset({PROXY})))
    world.wait(600)
    assert not world.saved


def test_this_machines_own_network_is_one_incident() -> None:
    world = World()
    targets = tuple(f"10.0.{number}.1:80" for number in range(20))
    world.configure(*((f"shop/{target}", (target,)) for target in targets))
    world.own_network = "the gateway 10.0.0.254 on eth0 does not answer"
    world.causes = dict.fromkeys(targets, "host-unreachable")
    for target in targets:
        world.check(target, MemberStatus.UP)
    for target in targets:
        world.check(target, MemberStatus.DOWN, Symptom.HOST_UNREACHABLE)
    world.wait(60)
    told = [incident for incident in world.open if not incident.caused_by]
    assert len(told) == 1
    assert set(told[0].targets) == set(targets)
    assert len(world.told()) == 1
    assert any("the gateway 10.0.0.254 on eth0 does not answer" in step.message for step in told[0].timeline)


@pytest.mark.thorough
def test_five_hundred_dead_members_of_twenty_groups_are_one_incident() -> None:
    world = World()
    members = [tuple(f"10.1.{group}.{number}:80" for number in range(25)) for group in range(20)]
    world.configure(*((f"shop/{number}", group) for number, group in enumerate(members)))
    for group in members:
        for target in group:
            world.check(target, MemberStatus.UP)
            world.check(target, MemberStatus.DOWN)
    world.causes = {target: "backend-not-running" for group in members for target in group}
    world.wait(120)
    assert len([incident for incident in world.open if not incident.caused_by]) == 1
    assert len(world.told()) <= 1


@pytest.mark.parametrize("seconds", [30, 119])
def test_a_log_that_is_unreadable_for_a_moment_is_nothing(seconds: int) -> None:
    world = World()
    world.put(Observed(log="a", proxy=PROXY, reason="stale file handle"))
    world.wait(seconds)
    world.put(Observed(log="a", proxy=PROXY))
    world.wait(600)
    assert not world.saved
    assert world.now - timedelta(seconds=600 + seconds) < world.now
