"""The store of `why502 watch`: the time of a commit in a busy second, and of reading a store of 400 days.

    python bench/store.py

A busy second has 2,000 series; its peer is one MiB appended to a file, with fsync(2). The store that is read has 100 series by
minute for 48 hours, by hour for 35 days and by day for 400 days, and 10,000 incidents; processor time is measured, since reading
waits for nothing else. Exits with 1 where a limit is exceeded.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from why502.logs.checkpoint import Checkpoint, Place
from why502.model.finding import Evidence, Finding, Layer
from why502.watch.model import AttemptKey, Batch, Diagnosed, FailureKey, Incident, Observed, Occasion, RequestKey, TargetKey
from why502.watch.store import Counted, Part, Ring, Store

NOW = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
MINUTE = int(NOW.timestamp()) // 60
COMMIT_S = 0.1
READ_S = 0.02
INCIDENTS = 10_000
CAUSES = ("wrong-port", "backend-hung", "keepalive-race", "backend-not-running", "header-too-big")


def main() -> int:
    """Return 1 if something took longer than its limit."""
    with tempfile.TemporaryDirectory() as directory:
        is_slow = commits(Path(directory))
    with tempfile.TemporaryDirectory() as directory:
        return int(reads(Path(directory)) or is_slow)


def busy(second: int) -> Batch:
    """Return what a busy second adds: 2,000 series, 400 of them histograms."""
    minute = MINUTE + second // 60
    seen = Observed(log="/var/log/nginx/access.log", proxy="nginx", lines=100_000)
    seen.checkpoint = Checkpoint(path=seen.log, files=(Place(device=1, inode=2, name=seen.log, offset=second),))
    for number in range(400):
        target = f"10.0.{number // 200}.{number % 200}:8080"
        seen.requests[minute, RequestKey("nginx", f"shop.example/{number}", "2xx")] += 250
        seen.requests[minute, RequestKey("nginx", f"shop.example/{number}", "502")] += 5
        seen.failures[minute, FailureKey("nginx", f"shop.example/{number}", target, "connection-refused")] += 5
        seen.attempts[minute, AttemptKey("nginx", target, "ok")] += 250
        seen.durations[minute, TargetKey("nginx", target)] = Counter({640 + number % 37 + step * 9: 10 for step in range(25)})
    return Batch(at=NOW + timedelta(seconds=second), observed=[seen], incidents=[incident(number) for number in range(3)])


def incident(number: int) -> Incident:
    """Return an incident with a finding of the usual length."""
    opened_at = NOW - timedelta(minutes=number * 57)
    finding = Finding(
        cause=CAUSES[number % len(CAUSES)],
        layer=Layer.PROXY,
        confidence=0.95,
        message=f"nginx connects to 10.0.0.{number % 200}:8080, where nothing listens",
        evidence=tuple(
            Evidence(message=f"connection refused {number} times, evidence {each}", weight=1, source=f"/var/log/error.log:{each}")
            for each in range(8)
        ),
    )
    return Incident(
        id=f"{number:08x}",
        key=f"v1:{number % 500}",
        host="web1",
        proxy="nginx",
        symptom="connection-refused",
        target=f"10.0.0.{number % 200}:8080",
        location=f"shop.example/{number % 30}",
        opened_at=opened_at,
        closed_at=None if number < 3 else opened_at + timedelta(minutes=9),
        failures=number,
        diagnosed=(Diagnosed(at=opened_at, occasion=Occasion.OPENED, finding=finding),) * 3,
    )


def median_s(work: Callable[[int], object], times: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median of the time that something takes."""
    taken = []
    for number in range(times):
        begin = clock()
        work(number)
        taken.append(clock() - begin)
    return statistics.median(taken)


def report(name: str, taken_s: float, limit_s: float) -> bool:
    """Print a time. Returns whether it exceeds its limit."""
    print(f"{name}: {taken_s * 1000:.1f} ms (limit {limit_s * 1000:.0f} ms)", flush=True)
    return taken_s > limit_s


def commits(directory: Path) -> bool:
    """Measure the commit of a busy second."""
    path = directory / "watch.db"
    batches = [busy(second) for second in range(60)]
    with Store.open(path) as store:
        store.commit(busy(0))
        taken_s = median_s(lambda second: store.commit(batches[second]), len(batches))
        size_bytes = path.with_name("watch.db-wal").stat().st_size
    data = os.urandom(1 << 20)
    with (directory / "peer").open("wb") as peer:

        def append(_: int) -> None:
            peer.write(data)
            os.fsync(peer.fileno())

        peer_s = median_s(append, 20)
    is_slow = report("commit of a busy second, 2,000 series", taken_s, COMMIT_S)
    print(f"  its peer, 1 MiB appended with fsync: {peer_s * 1000:.1f} ms; write-ahead log of {size_bytes / 1e6:.1f} MB")
    return is_slow


def filled(path: Path) -> None:
    """Make the store that is read."""
    keys = [FailureKey("nginx", f"shop.example/{number}", f"10.0.0.{number}:8080", "connection-refused") for number in range(100)]
    back = (
        range(Ring.MINUTE.kept),
        range(Ring.MINUTE.kept, Ring.HOUR.kept, Ring.HOUR),
        range(Ring.HOUR.kept, Ring.DAY.kept, Ring.DAY),
    )
    minutes = [MINUTE - before for part in back for before in part]
    with Store.open(path) as store:
        for start in range(0, len(minutes), 200):
            seen = Observed(log="/var/log/nginx/access.log", proxy="nginx")
            seen.failures = Counter({(minute, key): 3 for minute in minutes[start : start + 200] for key in keys})
            store.commit(Batch(at=NOW, observed=[seen]))
        for start in range(0, INCIDENTS, 1000):
            store.commit(Batch(at=NOW, incidents=[incident(number) for number in range(start, start + 1000)]))


def reads(directory: Path) -> bool:
    """Measure the questions that a page, a list and a scrape ask."""
    path = directory / "watch.db"
    filled(path)
    print(f"store of 400 days, 100 series, {INCIDENTS} incidents: {path.stat().st_size / 1e6:.1f} MB", flush=True)
    week = NOW - timedelta(days=7)
    with Store.open(path, read_only=True) as store:
        questions: dict[str, Callable[[int], object]] = {
            "the newest 50 incidents": lambda _: store.incidents(limit=50),
            "open incidents": lambda _: store.incidents(is_open=True),
            "incidents of a cause": lambda _: store.incidents(cause="keepalive-race", limit=50),
            "incidents by words, page 20": lambda _: store.incidents(text="refused 10.0.0.7", limit=50, offset=20),
            "no incident by words": lambda _: store.incidents(text="nowhere", limit=50),
            "incidents of a week": lambda _: store.incidents(since=week, limit=50),
            "one incident by its id": lambda _: store.incident("0000270f"),
            "failures of an hour by minute": lambda _: store.counts(Counted.FAILURES, MINUTE - 60, MINUTE + 1),
            "failures of 3 hours by minute and symptom": lambda _: store.sums(
                Counted.FAILURES, Part.DETAIL, MINUTE - 180, MINUTE + 1
            ),
            "failures of 7 days by hour and target": lambda _: store.sums(
                Counted.FAILURES, Part.TARGET, MINUTE - 7 * Ring.DAY, MINUTE + 1, Ring.HOUR
            ),
            "failures of 100 days by day and symptom": lambda _: store.sums(
                Counted.FAILURES, Part.DETAIL, MINUTE - 100 * Ring.DAY, MINUTE + 1, Ring.DAY
            ),
            "all totals": lambda _: store.totals(),
        }
        slow = [name for name, ask in questions.items() if report(name, median_s(ask, 15, time.thread_time), READ_S)]
        return bool(slow)


if __name__ == "__main__":
    sys.exit(main())
