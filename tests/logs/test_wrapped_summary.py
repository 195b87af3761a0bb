"""`diagnose` reads wrapped logs as `logs` does: the same requests, statuses and failures, whatever stands around the lines."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sampled import sampled
from truth import COMBINATIONS, Shape, write

from why502.host.directory import DirectoryHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
from why502.model.logs import Symptom

OTHERS = {Symptom.UPSTREAM_STATUS, Symptom.DENIED_BY_RULE}  # 500 of an application and requests that a rule refused are not meant
CASES = [
    (name, wrapper)
    for name in ("nginx-combined", "nginx-error", "apache-error", "haproxy-http")
    for wrapper in COMBINATIONS[name]
]


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize(("name", "wrapper"), sampled(CASES, 10))
def test_a_summary_holds_what_was_written(name: str, wrapper: str, tmp_path: Path, *, is_given: bool) -> None:
    truth = write(tmp_path / "some.log", Shape(format=name, wrapper=wrapper, lines=200, failures=0.2, noise=0.1, odd=0.0))
    assert truth.first is not None
    assert truth.last is not None
    window = (truth.first - timedelta(minutes=1), truth.last + timedelta(minutes=1))
    found, _ = summarise(DirectoryHost(str(tmp_path)), [LogInput(path="/some.log", is_given=is_given, proxy="")], *window)
    failures = sum(tally.count for tally in found.tallies if not tally.is_notice and tally.symptom not in OTHERS)
    assert sum(file.unread for file in found.files) == 0
    assert failures == truth.failed
    if name == "nginx-combined":
        assert found.requests == truth.requests
        assert Counter({int(status): count for status, count in found.by_status.items()}) == truth.statuses
