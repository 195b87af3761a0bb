"""What all outputs share: remedies with a word before each, gaps shown once, counts with their noun."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.model.finding import Check, CheckStatus, Diagnosis, Finding, Layer, Verdict
from why502.model.remedy import Remedy, Run
from why502.model.snapshot import Gap
from why502.render.terminal import render
from why502.render.words import Terminal, counted, how_often, labelled, unchecked

RELOAD = Run(argv=("nginx", "-s", "reload"))


def finding(*remedies: Remedy, statuses: tuple[int, ...] = (502,), failures: int = 2) -> Finding:
    return Finding(
        cause="stale-dns",
        layer=Layer.PROXY,
        confidence=0.9,
        message="an old address",
        ongoing=True,
        failures=failures,
        statuses=statuses,
        remedies=remedies,
    )


def diagnosis(*gaps: Gap, checks: tuple[Check, ...] = ()) -> Diagnosis:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Diagnosis(taken_at=at, verdict=Verdict.UNKNOWN, findings=(), gaps=gaps, checks=checks, requests=1, failures=1)


def test_steps_alternatives_and_advice_are_told_apart() -> None:
    remedies = (Remedy(message="a", steps=(RELOAD,)), Remedy(message="b", steps=(RELOAD,)), Remedy(message="c"))
    assert [label for label, _ in labelled(finding(*remedies))] == ["Fix", "Or", "Also"]
    assert [label for label, _ in labelled(finding(*remedies[2:], *remedies[:1]))] == ["What to do", "Fix"]


@pytest.mark.parametrize(
    ("statuses", "failures", "expected"),
    [
        ((502, 504), 2, "2 requests failed with 502/504; ongoing"),
        ((200,), 1, "1 request failed (status 200); ongoing"),
        ((0,), 1, "1 request failed with 000; ongoing"),
        ((), 3, "3 failures; ongoing"),
    ],
)
def test_a_response_that_breaks_off_does_not_fail_with_a_good_status(
    statuses: tuple[int, ...], failures: int, expected: str
) -> None:
    assert how_often(finding(statuses=statuses, failures=failures)) == expected


def test_a_gap_is_shown_once() -> None:
    gap = Gap(source="config test", reason="it runs in a container", hint="run `nginx -t` there")
    other = Gap(source="logs", reason="permission denied", hint="run as root")
    skipped = Check(id="config-test", title="its test passes", status=CheckStatus.SKIP, detail=f"{gap.reason}; {gap.hint}")
    assert unchecked(diagnosis(gap, other, checks=(skipped,))) == (other,)
    assert unchecked(diagnosis(gap, other)) == (gap, other)


def test_gaps_with_the_same_reason_all_stay() -> None:
    gaps = tuple(Gap(source=source, reason="permission denied", hint="run as root") for source in ("logs", "kernel"))
    skipped = Check(id="logs-readable", title="logs", status=CheckStatus.SKIP, detail="permission denied; run as root")
    assert unchecked(diagnosis(*gaps, checks=(skipped,))) == gaps


def test_one_is_not_many() -> None:
    assert [counted(count, "request") for count in (0, 1, 2)] == ["0 requests", "1 request", "2 requests"]
    assert "1 request, 1 failure\n" in render(diagnosis(), Terminal())
