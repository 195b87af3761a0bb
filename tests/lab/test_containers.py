"""Real engines: one scene of each here, all of them in `make containers`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from staged import REPEATED

from why502.diagnosis.causes import CAUSES
from why502.lab import groups
from why502.lab.containers import machine, run
from why502.lab.containers.scene import Scene, scene_list
from why502.model.container import Container

pytestmark = [pytest.mark.real, REPEATED, pytest.mark.timeout(240)]
FIRST_RUN = Path(__file__).parents[1] / "data/containers/first-run.jsonl"
CHOSEN = {"docker": "stopped-by-hand", "podman": "no-shared-network", machine.KUBELET: "pod-blocked"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("image") / "image.tar"


def left(tests: Path) -> set[str]:
    """The control groups, network devices and mounts of this machine but those of other tests, whose files are below `tests`."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = {str(path) for path in groups.ROOT.glob(f"*/why502-containers-{os.getpid()}-*")}
    return found | set(os.listdir("/sys/class/net")) | {line for line in mounts if f" {tests}/" not in line}


@pytest.mark.parametrize("engine", CHOSEN)
def test_a_real_engine_tells_the_cause_and_leaves_nothing(
    engine: str, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tests = tmp_path_factory.getbasetemp()
    tests = tests.parent if tests.name.startswith("popen-") else tests
    if why := machine.missing(engine):
        pytest.skip(why)
    before = left(tests)
    row = run.play(scene_list()[CHOSEN[engine]], engine, "fault", archive)
    assert row["judged"] == "right", run.line(row)
    first = row["diagnosis"]["findings"][0]
    assert "container " in first["message"]
    assert left(tests) == before


def told(**more: Any) -> dict[str, Any]:
    return {
        "diagnosis": {"verdict": "problem", "findings": [{"cause": "a", "confidence": 0.9}, {"cause": "b", "confidence": 0.6}]},
        **more,
    }


def scene(*expects: str, never: tuple[str, ...] = ()) -> Scene:
    return Scene("x", "", frozenset(expects), lambda site, is_broken: None, never=frozenset(never))


def test_what_is_right() -> None:
    assert run.judge(scene("a"), "fault", told()) == "right"
    assert run.judge(scene("a", never=("b",)), "fault", told()) == "wrong"
    assert run.judge(scene("b"), "fault", told()) == "surely-wrong"
    assert run.judge(scene("a"), "healthy", told()) == "false-alarm"
    assert run.judge(scene("a"), "fault", {"broken": "x"}) == "broken"


def test_every_scene_names_causes_and_engines() -> None:
    for one in scene_list().values():
        assert one.expects <= CAUSES.keys() and one.never <= CAUSES.keys(), one.id
        assert set(one.engines) <= set(machine.ENGINES) and one.happens and one.build.__doc__, one.id


def test_the_first_run_tells_what_was_expected_before_it() -> None:
    rows = [json.loads(line) for line in FIRST_RUN.read_text().splitlines()]
    assert rows
    for row in rows:
        assert row["expects"] == sorted(scene_list()[row["scene"]].expects), (
            f"the label of {row['scene']} was changed after its run"
        )


def test_a_container_in_words() -> None:
    plain = Container(engine="podman", id="a" * 64, name="db")
    assert (plain.shown, plain.command("start")) == ("container db", ("podman", "start", "db"))
