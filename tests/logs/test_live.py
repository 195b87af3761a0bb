"""Logs that are followed together: a request is told once, with the reason of its error line, whichever of the two came first."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from why502.logs.follow.follower import Follower
from why502.logs.live import Live, asked
from why502.logs.scan.rates import Interval
from why502.logs.scan.work import ScanQuery

BEGUN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def access(path: str, status: int, at: datetime) -> str:
    upstream = "502" if status == 502 else "200"
    return f'10.0.0.1 - - [{at:%d/%b/%Y:%H:%M:%S +0000}] "GET {path} HTTP/1.1" {status} 1 "-" "c" "127.0.0.1:3001" "{upstream}"\n'


def refused(path: str, at: datetime) -> str:
    return (
        f"{at:%Y/%m/%d %H:%M:%S} [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
        f'client: 10.0.0.1, server: a.example, request: "GET {path} HTTP/1.1", upstream: "http://127.0.0.1:3001{path}", '
        'host: "a.example"\n'
    )


class Logs:
    """Two logs in a directory, and what is told of them."""

    def __init__(
        self, directory: Path, *, access_log: str = "access.log", error_log: str = "error.log", before: str = ""
    ) -> None:
        self.access, self.error = directory / access_log, directory / error_log
        self.access.write_text(before)
        self.error.write_text("")
        query = asked(ScanQuery())
        self.live = Live([Follower(str(path), query=query) for path in sorted((self.access, self.error))])
        self.told: list[Interval] = []

    def write(self, path: Path, text: str) -> None:
        with path.open("a") as stream:
            stream.write(text)

    def interval(self) -> Interval:
        self.live.step(BEGUN.timestamp())
        self.told.append(self.live.interval())
        return self.told[-1]

    def symptoms(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for one in self.told:
            found.update(one.rates.symptoms)
        return found


OLD = access("/before", 200, BEGUN)


def test_an_error_line_waits_for_its_access_line_beyond_the_interval(tmp_path: Path) -> None:
    logs = Logs(tmp_path, before=OLD)
    logs.write(logs.error, refused("/a", BEGUN))
    first = logs.interval()
    assert (first.lines, first.rates.failures) == (1, 0)
    logs.write(logs.access, access("/a", 502, BEGUN))
    second = logs.interval()
    assert (second.rates.requests, second.rates.failures, second.rates.symptoms) == (1, 1, {"connect-refused": 1})
    assert logs.interval().rates.failures == 0


def test_an_error_line_waits_for_a_minute(tmp_path: Path) -> None:
    logs = Logs(tmp_path, before=OLD)
    logs.write(logs.error, refused("/a", BEGUN))
    logs.interval()
    logs.write(logs.error, refused("/b", BEGUN + timedelta(seconds=61)))
    logs.interval()
    logs.write(logs.access, access("/a", 502, BEGUN) + access("/b", 502, BEGUN + timedelta(seconds=61)))
    logs.interval()
    assert logs.symptoms() == {"connect-refused": 1, "gateway-status": 1}


def test_an_error_line_explains_one_request(tmp_path: Path) -> None:
    logs = Logs(tmp_path, before=OLD)
    logs.write(logs.error, refused("/a", BEGUN))
    logs.write(logs.access, access("/a", 502, BEGUN))
    logs.interval()
    logs.write(logs.access, access("/a", 502, BEGUN))
    logs.interval()
    assert logs.symptoms() == {"connect-refused": 1, "gateway-status": 1}


def test_an_error_log_without_an_access_log_tells_of_failures(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.write(logs.error, refused("/a", BEGUN))
    assert logs.interval().rates.symptoms == {"connect-refused": 1}


@pytest.mark.parametrize(("access_log", "error_log"), [("access.log", "error.log"), ("site.log", "error.log")])
def test_error_lines_that_come_between_two_reads_of_one_step_are_read(
    tmp_path: Path, access_log: str, error_log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs(tmp_path, access_log=access_log, error_log=error_log)  # empty: which of them has requests is not known yet
    first = logs.live.followers[0]
    step = first.step

    def and_then_a_request_fails() -> object:
        found = step()
        monkeypatch.setattr(first, "step", step)
        logs.write(logs.error, refused("/a", BEGUN))
        logs.write(logs.access, access("/a", 502, BEGUN))
        return found

    monkeypatch.setattr(first, "step", and_then_a_request_fails)
    logs.interval()
    logs.interval()
    assert logs.symptoms() == {"connect-refused": 1}
    assert sum(one.rates.failures for one in logs.told) == 1


@pytest.mark.parametrize("seed", range(8))
def test_every_failure_is_told_once_with_its_reason(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    names = dice.sample(["a.log", "b.log"], 2)
    logs = Logs(tmp_path, access_log=names[0], error_log=names[1], before=OLD)
    late: list[str] = []  # access lines in the server's buffer
    failed = 0
    for number in range(200):
        at, path = BEGUN + timedelta(seconds=number / 10), f"/{dice.randrange(9)}"
        if dice.random() < 0.4:
            logs.write(logs.error, refused(path, at))
            late.append(access(path, 502, at))
            failed += 1
        else:
            late.append(access(path, 200, at))
        if dice.random() < 0.3:
            logs.write(logs.access, "".join(late))
            late.clear()
        if dice.random() < 0.3:
            logs.interval()
    logs.write(logs.access, "".join(late))
    logs.interval()
    assert logs.symptoms() == {"connect-refused": failed}
    assert sum(one.rates.failures for one in logs.told) == failed
    assert sum(one.rates.requests for one in logs.told) == 200
