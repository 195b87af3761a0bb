"""Stacks of real packages: what they tell of themselves, how answers are judged, and a representative part of them for real."""

from __future__ import annotations

import json
import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from staged import REPEATED

from why502.diagnosis import causes
from why502.lab.stacks import image, registry
from why502.lab.stacks.run import judge, line, play
from why502.lab.stacks.stack import Calm, Fault, Route
from why502.lab.stacks.traffic import Traffic

SCENES = {scene.id: (stack, scene) for stack in registry.stacks().values() for scene in stack.scenes}
ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data"
FIRST_RUNS = [*sorted((DATA / "stacks").glob("first-run-*.jsonl")), DATA / "needs/first-run.jsonl"]
NO_CAUSE = {"healthy", "unknown"}
PLANNED = {"network-policy-denies"}  # of the vocabulary, without a rule yet
# One of each kind of machine and of each layer; all of them were answered rightly when they were first run.
REPRESENTATIVE = """
flask-tcp-wrong-port flask-tcp-crash-by-one-request flask-tcp-configuration-refused flask-tcp-rule-rejects flask-tcp-night
flask-unix-socket-permission flask-unix-private-tmp flask-unix-stopped
php-socket-moved-by-upgrade php-pool-too-small php-pool-file-broken php-night
express-environment-missing express-port-in-use express-response-cut pm2-errored pm2-quiet-day
django-socket-mode fastapi-import-error socketio-frozen
""".split()
RESTARTED_BY_SYSTEMD = {"express-environment-missing", "express-port-in-use"}  # again and again, whether it is diagnosed or not


def test_there_are_enough_and_each_has_one_name() -> None:
    stacks = registry.stacks().values()
    assert len(stacks) >= 25
    assert sum(len(stack.faults) for stack in stacks) >= 200
    assert sum(len(stack.calms) for stack in stacks) >= 40
    assert len(SCENES) == sum(len(stack.scenes) for stack in stacks)


def test_the_image_holds_what_the_program_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tomllib.loads(image.LISTS.read_text())["python"]["why502"] == project["dependencies"]


def test_every_fault_names_causes_that_there_are() -> None:
    for stack in registry.stacks().values():
        for fault in stack.faults:
            assert fault.expects, fault.id
            assert fault.expects | fault.partly <= set(causes.CAUSES) - NO_CAUSE | PLANNED, fault.id
            assert not fault.expects & fault.partly, fault.id


def test_first_runs_tell_what_was_expected_before_them() -> None:
    assert FIRST_RUNS
    for path in FIRST_RUNS:
        for row in map(json.loads, path.read_text().splitlines()):
            if row["judged"] == "broken":
                continue
            scene = SCENES[row["scene"]][1]
            expected = sorted(scene.expects) if isinstance(scene, Fault) else ["healthy"]
            assert row["expects"] == expected, f"the label of {scene.id} was changed after its first run"


def _answer(cause: str, confidence: float = 0.9, target: str = "127.0.0.1:8000") -> dict[str, object]:
    return {"verdict": "problem", "findings": [{"cause": cause, "confidence": confidence, "target": target}]}


FAULT = Fault(
    id="f",
    happens="",
    steps="true",
    expects=frozenset({"wrong-port"}),
    partly=frozenset({"backend-not-running"}),
    targets=frozenset({"127.0.0.1:8000"}),
)


@pytest.mark.parametrize(
    ("seen", "judged"),
    [
        (_answer("wrong-port"), "right"),
        (_answer("wrong-port", target="127.0.0.1:9"), "partly"),
        (_answer("backend-not-running"), "partly"),
        (_answer("disk-full"), "wrong"),
        (_answer("wrong-port", 0.4) | {"verdict": "unknown"}, "unknown"),
        ({"verdict": "healthy", "findings": []}, "blind"),
        ({"error": "Traceback"}, "error"),
        ({"broken": "no failure is felt"}, "broken"),
    ],
)
def test_an_answer_is_judged(seen: dict[str, object], judged: str) -> None:
    assert judge(FAULT, seen) == judged


def test_a_finding_on_a_healthy_day_is_a_false_alarm() -> None:
    calm = Calm(id="c", happens="")
    assert judge(calm, _answer("wrong-port")) == "false-alarm"
    assert judge(calm, {"verdict": "healthy", "findings": []}) == "right"


@pytest.fixture
def cutter() -> Iterator[int]:
    """The port of a server that promises ten bytes and sends five."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            wire, _ = server.accept()
            with wire:
                wire.recv(4096)
                wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_user_notices_a_body_that_is_cut(cutter: int) -> None:
    users = Traffic("127.0.0.1", (), 0, ("127.0.0.1",))
    assert users.ask(Route(port=cutter)) == 0
    assert "the body was cut: 200" in str(users.words)


@pytest.mark.real
@pytest.mark.machine
@REPEATED
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_the_first_answer_is_right_and_nothing_changes(name: str) -> None:
    if not image.is_built():
        image.build()
    assert not image.missing()
    row = play(*SCENES[name])
    assert row["judged"] == "right", line(row)
    assert name in RESTARTED_BY_SYSTEMD or row["services_changed"] == [], "a diagnosis must not start, stop or restart anything"
