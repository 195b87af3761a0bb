"""One diagnosis in a process of its own: its cause, its bundle, and a fix whose test passes on a copy."""

from __future__ import annotations

import os
import queue
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from daemons import scene

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.lab.stage import Stage
from why502.watch.diagnosing import Answer, Diagnoser, Overdue, Process
from why502.watch.diagnosis_process import Looked, Order
from why502.watch.model import Occasion
from why502.watch.state.grouping import asserted
from why502.watch.state.values import Diagnose

pytestmark = [pytest.mark.real, pytest.mark.skipif(os.geteuid() != 0, reason="the test of a copy needs root")]
ASKED = Diagnose(ids=("1",), occasion=Occasion.OPENED)


@pytest.fixture
def stage(tmp_path: Path):
    with scene(tmp_path) as found:
        yield found


def order(stage: Stage) -> Order:
    return Order(configs=(stage.nginx.config,))


def test_a_fault_has_its_cause_and_a_bundle_that_says_the_same(stage: Stage) -> None:
    right = stage.port(3001)
    stage.backend(f"127.0.0.1:{right}", "--does", "big-header")
    stage.nginx.start(f"proxy_pass http://127.0.0.1:{right};")
    stage.send_many(6)
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    diagnoser = Diagnoser(answers.put, lambda: datetime.now(UTC), order(stage))
    diagnoser.start()
    diagnoser.ask(ASKED)
    answer = answers.get(timeout=60)
    diagnoser.stop(5)
    made = answer.ready.diagnosis
    assert made is not None, answer.ready.reason
    assert asserted(made)[0].cause == "response-header-too-big"
    assert answer.ready.ids == ("1",)
    assert diagnose(load(answer.bundle, "bundle")) == made
    assert f"127.0.0.1:{right}" in answer.ready.scopes


def test_the_fix_is_a_diff_that_the_gateway_accepts_on_a_copy(stage: Stage) -> None:
    stage.backend(f"127.0.0.1:{stage.port(3002)}")
    stage.nginx.start(f"proxy_pass http://127.0.0.1:{stage.port(3001)};")
    stage.send_many(6)
    before = Path(stage.nginx.config).read_bytes()
    looked = Process().run(order(stage))
    assert looked.diagnosis is not None
    proposal = looked.proposals[f"wrong-port@127.0.0.1:{stage.port(3001)}"]
    assert f"+        proxy_pass http://127.0.0.1:{stage.port(3002)};".strip("+ ") in proposal.diff
    assert proposal.is_valid is True, proposal.test
    assert Path(stage.nginx.config).read_bytes() == before


def test_a_diagnosis_that_takes_too_long_is_ended(stage: Stage) -> None:
    stage.nginx.start(f"proxy_pass http://127.0.0.1:{stage.port(3001)};")
    process = Process(limit_s=0.05)
    with pytest.raises(Overdue, match=r"longer than 0\.05 s"):
        process.run(order(stage))


def test_the_end_of_the_daemon_ends_it(stage: Stage) -> None:
    stage.nginx.start(f"proxy_pass http://127.0.0.1:{stage.port(3001)};")
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    diagnoser = Diagnoser(answers.put, lambda: datetime.now(UTC), order(stage))
    diagnoser.start()
    diagnoser.ask(ASKED)
    began = time.monotonic()
    diagnoser.stop(10)
    assert time.monotonic() - began < 10
    assert "diagnoser" not in {thread.name for thread in threading.enumerate()}


def test_no_gateway_is_an_answer_and_no_failure(tmp_path: Path) -> None:
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    diagnoser = Diagnoser(answers.put, lambda: datetime.now(UTC), run=lambda _: Looked(reason="no proxy found"))
    diagnoser.start()
    diagnoser.ask(ASKED)
    answer = answers.get(timeout=10)
    diagnoser.stop(5)
    assert answer.ready.diagnosis is None
    assert answer.ready.reason == "no proxy found"
    assert answer.bundle == b""
