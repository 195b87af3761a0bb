"""From logs on disk to counters with their checkpoints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from following import NOW, Watched, access, refused

BAD = "127.0.0.1:3001 502 - - 0.000"


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    found = Watched(tmp_path)
    found.turns(1)
    return found


def test_requests_are_counted_by_configured_location_and_target(watched: Watched) -> None:
    watched.write("access.log", access("/api/orders/17") + access("/index.html", upstream="- - - - -") + access("/x.php"))
    sums = watched.turns()
    assert sums.requests == {
        ("shop.example/api/", "2xx"): 1,
        ("shop.example/", "2xx"): 1,
        ("shop.example ~ \\.php$", "2xx"): 1,
    }
    assert sums.attempts == {("127.0.0.1:3001", "ok"): 2}
    assert not sums.failures


def test_a_failure_has_the_symptom_of_its_error_line_and_counts_once(watched: Watched) -> None:
    watched.write("error.log", refused("/api/a"))
    watched.write("access.log", access("/api/a", 502, upstream=BAD))
    sums = watched.turns()
    assert sums.failures == {("shop.example/api/", "127.0.0.1:3001", "connect-refused"): 1}
    assert sums.attempts == {("127.0.0.1:3001", "connect-refused"): 1}
    assert sums.requests == {("shop.example/api/", "502"): 1}


def test_a_retry_that_succeeds_is_no_failure_but_recovered(watched: Watched) -> None:
    watched.write("error.log", refused("/api/a"))
    watched.write(
        "access.log",
        access("/api/a", upstream="127.0.0.1:3001, 127.0.0.1:3002 502, 200 -, 0.001 -, 0.002 0.000, 0.002"),
    )
    sums = watched.turns()
    assert not sums.failures
    assert sums.recovered == {("127.0.0.1:3001",): 1}
    assert sums.attempts == {("127.0.0.1:3001", "connect-refused"): 1, ("127.0.0.1:3002", "ok"): 1}


def test_an_intended_answer_keeps_its_symptom(watched: Watched) -> None:
    watched.write("access.log", access("/old/a", 503, upstream="- - - - -"))
    assert watched.turns().failures == {("shop.example/old/", "", "own-status"): 1}


@pytest.mark.parametrize("agent", ["why502-probe", "ELB-HealthChecker/2.0", "kube-probe/1.29"])
def test_checks_are_nobodys_requests(watched: Watched, agent: str) -> None:
    watched.write("access.log", access("/api/a", 502, upstream=BAD, agent=agent) + access("/api/kube-probe/1"))
    sums = watched.turns()
    assert (sums.requests, sums.failures) == ({("shop.example/api/", "2xx"): 1}, {})


@pytest.mark.parametrize("is_killed", [False, True])
def test_it_goes_on_where_it_stopped(watched: Watched, is_killed: bool) -> None:
    for number in range(5):
        watched.write("access.log", access(f"/api/{number}"))
        watched.turns(1)
        if is_killed:
            watched.tailer = watched.made()
        else:
            watched.restart()
    assert watched.turns().requests == {("shop.example/api/", "2xx"): 5}


def test_lines_from_before_the_start_are_history(tmp_path: Path) -> None:
    old = "".join(access(f"/api/{n}", at=NOW - 3000 + n) for n in range(1000))  # before the window of 15 minutes
    (tmp_path / "access.log").write_text(old + access("/api/a", 502, at=NOW - 300, upstream=BAD))
    watched = Watched(tmp_path)
    sums = watched.turns(1)
    assert sums.failures.total() == 1
    assert all(one.is_history for one in sums.all if one.lines)
    watched.write("access.log", access("/api/a", 502, at=NOW + 3, upstream=BAD) + access("/api/a", 502, at=NOW - 86400))
    seen = len(sums.all)
    watched.turns()
    assert sums.failures.total() == 3
    minutes = Counter(minute >= one.live_since for one in sums.all[seen:] for minute, _ in one.failures)
    assert minutes == {True: 1, False: 1}


def test_without_an_access_log_the_error_log_tells_of_failures(tmp_path: Path) -> None:
    config = (
        "events {{}} http {{ access_log off; error_log {directory}/error.log; server {{ location / {{ proxy_pass "
        "http://127.0.0.1:3001; }} }} }}"
    )
    watched = Watched(tmp_path, config)
    watched.turns(1)
    assert any("disabled" in gap.reason for gap in watched.tailer.gaps)
    watched.write("error.log", refused("/a") + refused("/b"))
    assert watched.turns().failures == {("shop.example", "127.0.0.1:3001", "connect-refused"): 2}


def test_a_log_that_only_the_user_names_is_followed_too(tmp_path: Path) -> None:
    (tmp_path / "other.log").touch()
    watched = Watched(tmp_path, given=("other.log", "access.log"))
    watched.turns(1)
    watched.write("other.log", access("/api/a"))
    watched.write("access.log", access("/api/b"))
    assert watched.turns().requests == {("shop.example/api/", "2xx"): 2}
