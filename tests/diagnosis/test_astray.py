"""What clients got decides whether a machine is well: one or two requests go astray, and some answers are in no readable log."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import ConfigTest, Proxy
from why502.model.snapshot import Gap, Snapshot

NOW = datetime(2026, 11, 25, 21, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lost", "served", "verdict", "first"),
    [
        (1, 40, "healthy", None),
        (2, 3, "healthy", None),
        (3, 40, "problem", "route-not-found"),
        (2, 2, "problem", "route-not-found"),  # nearly all that came
        (1, 0, "problem", "route-not-found"),
    ],
)
def test_few_of_many(lost: int, served: int, verdict: str, first: str | None) -> None:
    tally = Tally(symptom=Symptom.ROUTE_MISSING, proxy="traefik", status=404, count=lost, first=NOW, last=NOW)
    logs = LogSummary(
        tallies=(tally,), requests=lost + served, has_access=True, by_status={"404": lost} | ({"200": served} if served else {})
    )
    here = Snapshot(
        taken_at=NOW,
        proxies=(Proxy(kind="traefik", pid=5, test=ConfigTest.OK),),
        listeners=(),
        processes=(),
        services=(),
        logs=logs,
    )
    found = diagnose(here)
    leading = next((one.cause for one in found.findings if one.confidence >= 0.5), None)
    assert (found.verdict, leading) == (verdict, first)


@pytest.mark.parametrize(("section", "verdict"), [("access log", "unknown"), ("", "healthy")])
def test_answers_that_nobody_read_are_not_called_well(section: str, verdict: str) -> None:
    """A log that is switched off is no secret: then the error log and our own requests must do."""
    gap = Gap(source="access log", reason="it goes to the standard output of the process", section=section)
    here = Snapshot(
        taken_at=NOW,
        proxies=(Proxy(kind="lighttpd", pid=5, test=ConfigTest.OK),),
        listeners=(),
        processes=(),
        services=(),
        logs=LogSummary(),
        gaps=(gap,),
    )
    assert diagnose(here).verdict == verdict
