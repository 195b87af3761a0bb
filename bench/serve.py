"""The pages of `why502 serve`: how long each takes, for a store of 400 days and 10,000 incidents.

    python bench/serve.py

The server runs in a process of its own, 50 viewers hold its live parts open while the pages are asked, and a writer commits
each second as `why502 watch` does, so that the live parts change. Printed are the median and the 95th percentile of 60 requests
of each page, and its peer: a file of the same server, which does nothing but send it. Exits with 1 where a page takes longer
than its limit.
"""

from __future__ import annotations

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs
from store import incident

from why502.bundle import save
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.watch.model import (
    AttemptKey,
    Batch,
    CheckResult,
    Configured,
    FailureKey,
    Member,
    MemberStatus,
    Observed,
    RequestKey,
    RouteKey,
    TargetKey,
)
from why502.watch.store import Ring, Store

LIMIT_S = 0.1
VIEWERS, REQUESTS, INCIDENTS, SERIES = 50, 60, 10_000, 100
NOW = datetime.now(UTC)
MINUTE = int(NOW.timestamp()) // 60
PEER = "/static/style.css"
PAGES = (
    PEER,
    "/",
    "/incidents/00000001",
    "/history",
    "/history?text=refused+10.0.0.7&page=2",
    "/targets",
    "/targets/one?proxy=nginx&target=10.0.0.7:8080",
    "/api/1/now",
)


def main() -> int:
    """Return 1 if a page took longer than its limit."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "watch.db")
        filled(path)
        print(f"store: {path.stat().st_size / 1e6:.0f} MB, {INCIDENTS} incidents, {SERIES} routes and targets", flush=True)
        with served(path) as url, viewers(url) as events, writing(path):
            slow = [page for page in PAGES if measured(url, page)]
            print(f"{VIEWERS} viewers got {sum(events)} updates meanwhile")
        return int(bool(slow))


def measured(url: str, page: str) -> bool:
    """Print how long a page takes; return whether that is too long."""
    taken, size = [], 0
    with closing(connection(url)) as client:
        for _ in range(REQUESTS):
            begin = time.perf_counter()
            client.request("GET", page)
            response = client.getresponse()
            size = len(response.read())
            taken.append(time.perf_counter() - begin)
            assert response.status == 200, (page, response.status)
    p95_s = statistics.quantiles(taken, n=20)[-1]
    print(
        f"{page:<50} p50 {1000 * statistics.median(taken):6.1f} ms  p95 {1000 * p95_s:6.1f} ms  {size / 1000:.0f} kB", flush=True
    )
    return p95_s > LIMIT_S


def connection(url: str) -> http.client.HTTPConnection:
    """Return a connection to the server."""
    host = urlsplit(url)
    return http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Run the server; give its address."""
    argv = [sys.executable, "-m", "why502", "serve", "--listen", "127.0.0.1:0", "--settings", os.devnull, "--store", str(path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextmanager
def viewers(url: str) -> Iterator[list[int]]:
    """Hold the live parts open in one thread each; give how many updates each got."""
    events = [0] * VIEWERS
    with ExitStack() as stack:
        for number in range(VIEWERS):
            client = stack.enter_context(closing(connection(url)))
            client.request("GET", ("/live/now", "/live/targets", "/live/incidents/00000001")[number % 3])
            response = client.getresponse()
            assert response.status == 200
            threading.Thread(target=count, args=(response, events, number), daemon=True).start()
            stack.callback(client.sock.shutdown, socket.SHUT_RDWR)
        yield events


def count(response: http.client.HTTPResponse, events: list[int], number: int) -> None:
    """Count the updates of one viewer until its connection ends."""
    try:
        while line := response.readline():
            events[number] += line.startswith(b"data: ")
    except OSError:
        pass


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Commit each second what a busy site adds."""
    done = threading.Event()

    def write() -> None:
        with Store.open(path) as store:
            while not done.wait(1):
                now = datetime.now(UTC)
                store.commit(Batch(at=now, observed=[observed([int(now.timestamp()) // 60])]))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def observed(minutes: list[int]) -> Observed:
    """Return the traffic of all routes and targets in some minutes."""
    seen = Observed(log="/var/log/nginx/access.log", proxy="nginx", lines=1)
    for minute in minutes:
        for number in range(SERIES):
            target, location = f"10.0.0.{number}:8080", f"shop.example/{number}"
            seen.requests[minute, RequestKey("nginx", location, "2xx")] += 90
            seen.failures[minute, FailureKey("nginx", location, target, "connection-refused")] += 3
            seen.attempts[minute, AttemptKey("nginx", target, "ok")] += 90
            seen.attempts[minute, AttemptKey("nginx", target, "connection-refused")] += 3
            seen.durations[minute, TargetKey("nginx", target)] = Counter({700 + number % 40 + step * 9: 9 for step in range(10)})
    return seen


def filled(path: Path) -> None:
    """Make a store of 400 days. Its series have a count in each minute of the last 2 hours, then in each hour, then each day."""
    minutes = [
        MINUTE - before
        for before in (*range(120), *range(120, Ring.HOUR.kept, 60), *range(Ring.HOUR.kept, Ring.DAY.kept, Ring.DAY))
    ]
    bundle = save(Snapshot(taken_at=NOW))
    members = [
        Member(
            proxy="nginx",
            group="",
            peer=Target(host=f"10.0.0.{number}", port=8080),
            status=MemberStatus.DOWN if number < 3 else MemberStatus.UP,
            since=NOW,
            last=CheckResult(proxy="nginx", group="", peer=Target(host=f"10.0.0.{number}", port=8080), at=NOW, status=200),
        )
        for number in range(SERIES)
    ]
    routes = frozenset(RouteKey("nginx", f"shop.example/{number}", "", f"10.0.0.{number}:8080") for number in range(SERIES))
    shift = NOW - incident(0).opened_at
    with Store.open(path) as store:
        for start in range(0, len(minutes), 100):
            store.commit(Batch(at=NOW, observed=[observed(minutes[start : start + 100])]))
        for start in range(0, INCIDENTS, 1000):
            made = [moved(number, shift) for number in range(start, start + 1000)]
            store.commit(Batch(at=NOW, incidents=made))
        store.commit(
            Batch(
                at=NOW,
                members=members,
                configured=Configured(routes=routes),
                bundles={f"{number:08x}": bundle for number in range(200)},
            )
        )


def moved(number: int, shift: timedelta):  # type: ignore[no-untyped-def]
    """Return an incident of the bench of the store, as of now."""
    one = incident(number)
    return structs.replace(one, opened_at=one.opened_at + shift, closed_at=one.closed_at + shift if one.closed_at else None)


if __name__ == "__main__":
    sys.exit(main())
