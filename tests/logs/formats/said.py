"""Compares what a format reads from one line with the fields that are told."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from why502.model.logs import Symptom


def check(form: ModuleType, line: str, symptom: Symptom | None, /, **told: Any) -> None:
    """Assert the symptom and the told fields; `target` is compared as text. Every line of interest must hold a mark."""
    record = form.parse(line)
    assert record is not None, line
    assert record.symptom == symptom, line
    assert any(mark in line.encode() for mark in form.MARKS), line
    for field, value in told.items():
        found = getattr(record, field)
        assert (str(found) if field == "target" and found else found) == value, (line, field)
