"""Commands that read an untrusted bundle end at their CPU time limit, even if code inside catches every error."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import pytest
from asking import GOLDEN, TWO_LINES, ask

from why502.cli import time_limit as patience
from why502.diagnosis import engine as diagnosis


def test_a_diagnosis_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(*_: object, **__: object) -> None:
        while True:
            with contextlib.suppress(Exception):  # as the engine does if a cause raises
                sum(range(1000))

    monkeypatch.setattr(patience, "LIMIT_S", 0.3)
    monkeypatch.setattr(diagnosis, "diagnose", for_ever)
    answer = ask("diagnose", "--bundle", str(GOLDEN / "wrong-port.why502"))
    assert (answer.status, answer.out) == (2, "")
    assert TWO_LINES.fullmatch(answer.err), answer.err
    assert "more than 0.3 s of CPU time" in answer.err


def test_no_limit_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    ask("diagnose", "--bundle", str(tmp_path / "none"))
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
