"""Backends break behind real gateways other than nginx; `make gateways` plays all scenes, here a few of them."""

from __future__ import annotations

import json

import pytest
from staged import REPEATED

from why502.lab.gateways import log_alone, pages
from why502.lab.gateways.front import JOURNALS, fronts
from why502.lab.gateways.own import scenes_of
from why502.lab.gateways.play import Outcome, missing, names, parts, play
from why502.lab.gateways.scenes import SCENES
from why502.lab.stage import LabError

QUICK = [f"{product}/{front.LOGS[0]}/{scene}" for product, front in fronts().items() for scene in ("not-running", "wrong-port")]
QUICK += [f"{product}/{log}/error-503" for product, front in fronts().items() for log in front.LOGS if log in JOURNALS]
QUICK += [f"haproxy/http/{scene}" for scene in ("check-issuer", "check-silent-tls")]


@pytest.mark.real
@REPEATED
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", QUICK)
def test_the_first_answer_is_right(name: str) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    outcome = play(name)
    assert outcome.is_right, (outcome.findings, outcome.error)
    assert outcome.wrong == ()
    assert outcome.failures, outcome.texts


def test_every_front_states_what_it_lacks() -> None:
    for product, front in fronts().items():
        assert product == front.KIND
        lacks = [(log, scene) for log, _, scene in (name.rpartition("/") for name in front.LACKS)]
        assert all(scene in scenes_of(product) and log in {"", *front.LOGS} for log, scene in lacks)
        assert front.ALIKE.keys() <= set(scenes_of(product)) - front.LACKS.keys()
        assert all(front.LACKS.values()) and front.LOGS
        assert {scene.name for scene in scenes_of(product).values()} == set(scenes_of(product))


def test_scenes_are_found_by_name() -> None:
    assert list(names(["caddy"], ["healthy"], every_log=False)) == ["caddy/json/healthy"]
    assert parts("caddy/json/healthy")[2] == SCENES["healthy"]
    with pytest.raises(LabError, match="unknown scene"):
        parts("caddy/json/absent")
    assert {scene.name for scene in SCENES.values()} == set(SCENES)


def outcome(name: str, *findings: tuple[str, str | None, float]) -> Outcome:
    return Outcome(
        name=f"caddy/json/{name}",
        statuses=(502,),
        findings=findings,
        words={"/x": "a|b"},
        texts={},
        failures=("`no`",),
        played="2026-11-24, 44394c70",
    )


def test_an_outcome_is_right_only_with_its_cause_on_its_target() -> None:
    assert outcome("not-running", ("backend-not-running", "127.0.0.1:3000", 0.9)).is_right
    assert not outcome("not-running", ("backend-not-running", "127.0.0.1:3001", 0.9)).is_right
    assert not outcome("not-running", ("backend-not-running", "127.0.0.1:3000", 0.4)).is_right
    assert not outcome("not-running").is_right
    assert outcome("healthy").is_right and not outcome("healthy", ("wrong-port", None, 0.6)).is_right
    sure = outcome("healthy", ("wrong-port", None, 0.9))
    assert sure.wrong == (("wrong-port", None, 0.9),)


def test_a_cause_that_a_log_cannot_tell_apart_is_right_as_well() -> None:
    assert parts("apache/combined/reset")[2].causes == ("connection-reset",)
    assert parts("haproxy/http/reset")[2].causes == ("connection-reset", "premature-close")


def test_a_log_alone_is_read_line_by_line() -> None:
    scene = SCENES["not-running"]
    line = '127.0.0.1 - - [23/Nov/2026:07:08:19 +0000] "GET / HTTP/1.1" 502 11 "-" "-" 5 "a@file" "http://127.0.0.1:3000" 1ms'
    reading = log_alone.read([f"{line}\nno line of a log\n"])
    assert reading.is_first(scene) and reading.has(scene) and reading.wrong(scene) == frozenset()
    assert reading.has(SCENES["wrong-port"]) and not reading.is_first(SCENES["wrong-port"])
    assert log_alone.read([]) == log_alone.Reading()


def test_a_row_holds_what_a_table_needs() -> None:
    one = outcome("not-running", ("backend-not-running", "127.0.0.1:3000", 0.9))
    again = Outcome.of_row(json.loads(json.dumps(one.row())))
    assert (again, again.is_right) == (one, True)


def test_a_table_escapes_what_a_log_says() -> None:
    text = pages.table([outcome("not-running")])
    row = next(line for line in text.splitlines() if "502" in line)
    assert text.splitlines()[-1] == "| json | 1 | 0 | 0 | 2026-11-24, 44394c70 |"
    assert row == "| nothing listens on the port | 502 | `'no'` | a\\|b |"
