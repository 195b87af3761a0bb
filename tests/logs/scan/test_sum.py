"""What the report says: bursts and what changed, the bad target, hidden retries, percentiles, causes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.logs.scan.summing import reported
from why502.logs.chance import is_worse
from why502.logs.scan import bursts
from why502.logs.scan.minutes import Minutes

HEAD = '10.0.0.9 - - [20/Nov/2026:10:{minute:02d}:00 +0000] "GET /{path} HTTP/1.1" {status} 1 "-" "-"'


def write(path: Path, rows: list[tuple[int, str, int, str]]) -> Path:
    """Write lines of minute, path, status and upstream fields."""
    path.write_text(
        "".join(HEAD.format(minute=minute, path=name, status=status) + f" {fields}\n" for minute, name, status, fields in rows)
    )
    return path


def test_a_burst_is_named_with_what_changed(tmp_path: Path) -> None:
    good = [(minute, "ok", 200, "10.0.0.1:80 200 0.001 0.002 0.003") for minute in range(60) for _ in range(50)]
    some = [(minute, "ok", 502, "10.0.0.1:80 502 0.001 - 0.003") for minute in range(60)]
    bad = [(minute, "pay", 504, "10.0.0.2:80 504 0.001 - 60.000") for minute in (20, 21, 22) for _ in range(30 + minute)]
    found = reported(write(tmp_path / "access.log", sorted(good + some + bad)))
    (burst,) = found.bursts
    assert (f"{burst.start:%H:%M}", f"{burst.end:%H:%M}", f"{burst.peak_at:%H:%M}", burst.peak) == ("10:20", "10:23", "10:22", 53)
    assert (burst.failures, burst.usual) == (156, 1.0)
    changed = " ".join(burst.changed)
    for value in ("target 10.0.0.2:80", "route GET /pay", "status 504", "symptom read-timed-out"):
        assert value in changed


def test_even_failures_are_no_burst() -> None:
    facets = bursts.Facets(dict.fromkeys(range(60), 100), {minute: 20 + minute % 3 for minute in range(60)}, {})
    assert bursts.find(facets) == ()


@pytest.mark.parametrize("calm", [3, 5, 8])
def test_a_failure_that_goes_on_for_most_of_the_time_is_a_burst(calm: int) -> None:
    failures = {minute: 50 if minute >= calm else 1 for minute in range(15)}
    (burst,) = bursts.find(bursts.Facets(dict.fromkeys(range(15), 100), failures, {}))
    assert (burst.start.minute, burst.end.minute, burst.usual) == (calm, 15, 1.0)


@pytest.mark.parametrize("mean", [0.3, 1, 3, 5, 8, 30])
def test_chance_is_no_burst(mean: float) -> None:
    rng = random.Random(1)
    failures = {minute: sum(rng.random() < mean / 300 for _ in range(300)) for minute in range(2000)}
    assert len(bursts.find(bursts.Facets(dict.fromkeys(range(2000), 1000), failures, {}))) == 0


def test_a_single_burst_in_silence_is_found() -> None:
    failed = Minutes()
    failed.add(7, 5)
    facets = bursts.Facets(dict.fromkeys(range(60), 100), {7: 5}, {"status": {"502": failed}})
    assert [burst.failures for burst in bursts.find(facets)] == [5]


@pytest.mark.parametrize(
    ("failed", "tried", "others_failed", "others", "expected"),
    [
        (50, 100, 10, 1000, True),
        (5, 10, 0, 1000, False),  # too few
        (20, 10_000, 2, 1000, False),  # more failures, and not a larger share
        (12, 20, 30, 10_000, True),  # a canary with little traffic
        (50, 100, 450, 1000, False),  # all are bad
        (10, 10, 0, 0, False),  # alone
    ],
)
def test_the_bad_one_is_judged_by_its_share(failed: int, tried: int, others_failed: int, others: int, expected: bool) -> None:
    assert is_worse(failed, tried, others_failed, others) is expected


def test_retries_that_hid_failures_count_apart(tmp_path: Path) -> None:
    rows = [(1, "a", 200, "10.0.0.1:80, 10.0.0.2:80 502, 200 0.001, 0.001 -, 0.010 0.001, 0.010")] * 20
    rows += [(1, "a", 502, "10.0.0.1:80, 10.0.0.2:80 502, 502 0.001, 0.001 -, - 0.001, 0.001")] * 3
    rows += [(1, "a", 200, "10.0.0.2:80 200 0.001 0.010 0.010")] * 77
    found = reported(write(tmp_path / "access.log", rows))
    assert (found.requests, found.failures, found.recovered_requests, found.recovered_attempts) == (100, 3, 20, 20)
    bad, other = found.targets
    assert (bad.target, bad.attempts, bad.failures, bad.recovered, bad.is_bad) == ("10.0.0.1:80", 23, 23, 20, True)
    assert (other.attempts, other.failures, other.recovered, other.is_bad) == (100, 3, 0, False)
    assert {name: (row.requests, row.failures) for name, row in found.by_attempts.items()} == {"1": (77, 0), "2": (23, 3)}
    assert found.has_upstream_fields


def test_percentiles_are_near_and_with_exact_exact(tmp_path: Path) -> None:
    from why502.logs.scan.work import ScanQuery

    rows = [(1, "a", 200, f"10.0.0.1:80 200 0.001 0.001 {n / 1000:.3f}") for n in range(1, 1001)]
    path = write(tmp_path / "access.log", rows)
    times = reported(path).targets[0].response
    exact = reported(path, ask=ScanQuery(is_exact=True)).targets[0].response
    assert times is not None
    assert exact is not None
    assert (exact.p50_s, exact.p95_s, exact.p99_s, exact.max_s) == (0.5, 0.95, 0.99, 1.0)
    for name in ("p50_s", "p90_s", "p95_s", "p99_s", "max_s"):
        assert getattr(times, name) == pytest.approx(getattr(exact, name), rel=1 / 128)
