"""The terminal output for very many findings."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from why502.model.finding import Diagnosis, Finding, Layer, Verdict
from why502.model.target import Target
from why502.render.terminal import render
from why502.render.words import Terminal


def found(number: int) -> Diagnosis:
    findings = tuple(
        Finding(
            cause="backend-not-running",
            layer=Layer.UPSTREAM,
            confidence=0.9,
            message=f"nothing listens on 127.0.0.1:{port}",
            target=Target(host="127.0.0.1", port=port),
            ongoing=True,
        )
        for port in range(3000, 3000 + number)
    )
    return Diagnosis(taken_at=datetime(2026, 11, 21, tzinfo=UTC), verdict=Verdict.PROBLEM, findings=findings)


@pytest.mark.parametrize(("number", "more"), [(1, ""), (10, ""), (11, "1 more finding,"), (250, "240 more findings,")])
def test_only_a_readable_number_of_findings_is_shown(number: int, more: str) -> None:
    text = render(found(number), Terminal())
    assert text.count("confidence, fault: ") == min(number, 10)
    assert ("with --verbose" in text) == bool(more) and more in text


def test_all_findings_are_shown_on_request() -> None:
    text = render(found(250), Terminal(is_verbose=True))
    assert text.count("confidence, fault: ") == 250
    assert "with --verbose" not in text


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_resolved_failures_are_marked_in_the_first_line(form: str) -> None:
    diagnosis = found(2)
    last = datetime(2026, 11, 21, 4, 37, 24, tzinfo=UTC)
    over = tuple(replace(finding, ongoing=False, last_seen=last, first_seen=last) for finding in diagnosis.findings)
    show = importlib.import_module(f"why502.render.{form}").render
    assert "resolved" not in show(diagnosis, Terminal())
    text = " ".join(show(replace(diagnosis, findings=over), Terminal()).split())
    assert text.count("(resolved; last seen 2026-11-21 04:37:24Z)") >= 2
