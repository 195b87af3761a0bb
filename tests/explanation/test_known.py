"""The table of causes that `why502 explain` reads."""

from __future__ import annotations

import subprocess
import sys

from why502.diagnosis.causes import CAUSES, usual
from why502.diagnosis.causes import section as section_of_page
from why502.explanation import known
from why502.model.logs import Symptom


def test_the_table_is_made_from_the_causes() -> None:
    assert known.PATH.read_text() == known.text(), "run make docs"
    assert list(known.CAUSES) == list(CAUSES)


def test_symptoms_and_pages_are_those_of_the_causes() -> None:
    assert all(known.usual(symptom) == usual(symptom) for symptom in Symptom)
    for name in CAUSES:
        assert known.section(name, "Fix") == section_of_page(name, "Fix") != ()


def test_an_explanation_imports_no_causes() -> None:
    program = (
        "import sys\nfrom why502.cli.main import run\n"
        "run(['explain', 'connect() failed (111: Connection refused) while connecting to upstream'])\n"
        "print([name for name in sys.modules if name.startswith('why502.diagnosis.causes')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "backend-not-running" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
