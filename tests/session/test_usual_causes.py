"""The table of causes that the report of `why502 logs` names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from why502.diagnosis.causes import CAUSES, usual
from why502.model.logs import Symptom
from why502.session.usual_causes import PATH, SURE, table, text


def test_the_table_is_made_from_the_causes() -> None:
    assert PATH.read_text() == text(), "run make docs"
    assert set(table().causes) == set(CAUSES)


@pytest.mark.parametrize("symptom", list(Symptom))
def test_a_symptom_has_the_likeliest_cause_if_it_is_likely_enough(symptom: Symptom) -> None:
    likely = [name for name, weight in usual(symptom) if weight >= SURE]
    assert table().meaning(symptom.value, "").cause == (likely[0] if likely else "")


def test_the_cause_that_a_line_names_comes_first() -> None:
    found = table().meaning(Symptom.CONNECT_TIMED_OUT.value, "apparmor-denied")
    assert (found.cause, found.message) == ("apparmor-denied", CAUSES["apparmor-denied"].message)


def test_a_bare_status_names_no_cause() -> None:
    found = table().meaning(Symptom.GATEWAY_STATUS.value, "no-such-cause")
    assert not found.cause
    assert "error log" in found.message


def test_a_report_imports_no_causes(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text('192.0.2.1 - - [04/Mar/2026:05:06:07 +0000] "GET / HTTP/1.1" 502 157 "-" "-"\n' * 3)
    program = (
        "import sys\nfrom why502.cli.main import run\n"
        f"run(['logs', {str(log)!r}])\n"
        "print([name for name in sys.modules if name.startswith('why502.diagnosis')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "502" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
