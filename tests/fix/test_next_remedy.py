"""Several remedies: if one does not help or cannot be applied, this is reported and the next is tried."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from free_ports import free_port
from shop import NOW, Shop

from why502.cli.env import Env
from why502.cli.plan_output import apply, work
from why502.fix import journal
from why502.fix.plan import NothingToDo, Plan, plans
from why502.model.errors import Why502Error
from why502.model.finding import Diagnosis, Finding, Layer, Verdict
from why502.model.remedy import Remedy, Run
from why502.model.snapshot import Snapshot

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


class Told:
    """The output of a repair, and its exit status."""

    def __init__(self, shop: Shop, *choices: Plan, is_json: bool = False) -> None:
        env = Env(stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())
        self.status = apply(env, choices, shop.snapshot(), work(env, str(shop.state), is_json=is_json), is_json=is_json)
        self.out, self.err = (stream.getvalue() for stream in (env.stdout, env.stderr))


def useless(shop: Shop) -> Plan:
    return msgspec.structs.replace(shop.plan(shop.change(str(shop.wrong), str(free_port()))), remedy="name another wrong port")


def impossible(shop: Shop) -> Plan:
    return msgspec.structs.replace(shop.plan(), remedy="start what is not there", edits=(), runs=(Run(argv=("/nonexistent",)),))


def test_a_remedy_that_does_not_help_is_rolled_back_and_the_next_applied(shop: Shop) -> None:
    told = Told(shop, useless(shop), shop.plan())
    assert (told.status, shop.site.read_bytes(), shop.status()) == (0, shop.new, 200)
    assert "that did not help; next: name the right one" in told.err
    assert told.out.index("Everything is restored") < told.out.index("Plan: name the right one") < told.out.index("Done (")
    assert [entry.phase for entry in journal.entries(shop.state)] == ["reverted", "kept"]


def test_one_that_cannot_be_done_is_passed_over(shop: Shop) -> None:
    told = Told(shop, impossible(shop), shop.plan(), is_json=True)
    answer = json.loads(told.out)
    assert (told.status, answer["outcome"], answer["message"]) == (0, "kept", "name the right one")
    assert answer["tried"] == [{"cause": "wrong-port", "message": "start what is not there", "outcome": "failed"}]
    assert "/nonexistent: no such program" in told.err


def test_no_remedy_helps(shop: Shop) -> None:
    told = Told(shop, useless(shop), useless(shop))
    assert (told.status, shop.site.read_bytes()) == (1, shop.old)
    assert told.out.count("Everything is restored") == 2
    with pytest.raises(Why502Error, match="/nonexistent: no such program"):
        Told(shop, useless(shop), impossible(shop))
    assert shop.site.read_bytes() == shop.old


def test_nothing_is_tried_after_one_that_was_interrupted(shop: Shop) -> None:
    right = shop.plan()
    shop.apply(right)
    (entry,) = journal.entries(shop.state)
    journal.save(shop.state, msgspec.structs.replace(entry, phase=journal.Phase.WRITTEN))
    with pytest.raises(Why502Error, match="was interrupted"):
        Told(shop, right, right)


def finding(cause: str, *remedies: Remedy, confidence: float = 0.9, ongoing: bool = True) -> Finding:
    return Finding(
        cause=cause, layer=Layer.UPSTREAM, confidence=confidence, message="it fails", remedies=remedies, ongoing=ongoing
    )


def test_nothing_is_left_to_do_where_all_is_over() -> None:
    def of(ongoing: bool) -> Diagnosis:
        over = finding("backend-not-running", Remedy(message="words"), ongoing=ongoing)
        return Diagnosis(taken_at=NOW, verdict=Verdict.PROBLEM, findings=(over,))

    empty = Snapshot(taken_at=NOW, host="here")
    with pytest.raises(NothingToDo, match="the failure is resolved: it fails"):
        plans(of(False), empty)
    with pytest.raises(Why502Error, match="backend-not-running cannot be fixed from here"):
        plans(of(True), empty)


def test_the_order_of_the_remedies() -> None:
    def run(name: str) -> Remedy:
        return Remedy(message=name, steps=(Run(argv=(name,)),))

    diagnosis = Diagnosis(
        taken_at=NOW,
        verdict=Verdict.PROBLEM,
        findings=(
            finding("backend-hung", Remedy(message="words"), run("a"), run("b"), run("a")),
            finding("backend-not-running", run("over"), ongoing=False),
            finding("selinux-denied", msgspec.structs.replace(run("policy"), is_policy=True)),
            finding("wrong-port", run("c"), run("d"), run("e")),
            finding("wrong-address", run("light"), confidence=0.2),
        ),
    )
    empty = Snapshot(taken_at=NOW, host="here")
    assert [plan.remedy for plan in plans(diagnosis, empty)] == ["a", "b", "c", "d"]
    assert [plan.remedy for plan in plans(diagnosis, empty, "selinux-denied")] == ["policy"]


def test_what_has_ended_is_left_while_something_fails(shop: Shop) -> None:
    wait = Remedy(message="wait longer", steps=(Run(argv=("systemctl", "daemon-reload")),))
    now, before = (
        finding("backend-dependency-down", Remedy(message="start it")),
        finding("deploy-termination-race", wait, ongoing=False),
    )
    with pytest.raises(Why502Error, match="backend-dependency-down cannot be fixed from here"):
        plans(Diagnosis(taken_at=NOW, verdict=Verdict.PROBLEM, findings=(now, before)), shop.snapshot())
    named = plans(
        Diagnosis(taken_at=NOW, verdict=Verdict.PROBLEM, findings=(now, before)), shop.snapshot(), "deploy-termination-race"
    )
    assert [plan.remedy for plan in named] == ["wait longer"]


def test_a_result_that_no_request_shows_is_not_called_done(shop: Shop) -> None:
    shop.site.write_bytes(shop.new)
    shop.apply_reload()
    comment = msgspec.structs.replace(shop.change(str(shop.right), str(shop.right)), after=f"http://127.0.0.1:{shop.right}/")
    told = Told(shop, shop.plan(comment))
    assert (told.status, journal.entries(shop.state)[-1].phase) == (1, "kept")
    assert "Applied, but not verified (" in told.out
    assert "none of 2 requests failed before, and none fails now" in told.out
