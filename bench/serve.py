"""The pages of `why502 serve`: how long each takes, for a store of 400 days and 10,000 incidents.

    python bench/serve.py [--write]

The server runs in a process of its own, 50 viewers hold its live parts open while the pages are asked, and a writer commits
each second as `why502 watch` does, so that the live parts change. The table has for each page the processor time of the server
for one request without viewers, and the median and the 95th percentile of 100 requests with them. The peer is a file of the
same server, asked in turn with each page: on a busy machine it waits as long. `--write` puts the table into docs/serve.md.
Exits with 1 where a page takes longer than its limit.
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
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
VIEWERS, REQUESTS, INCIDENTS, SERIES = 50, 100, 10_000, 100
NOW = datetime.now(UTC)
MINUTE = int(NOW.timestamp()) // 60
DOCUMENT = Path(__file__).parents[1] / "docs/serve.md"
BEGIN, END = "<!-- figures: bench/serve.py --write -->\n", "<!-- end of figures -->\n"
PEER = "/static/style.css"
PAGES = {
    "Now": "/",
    "an incident": "/incidents/00000001",
    "History": "/history",
    "History, searched": "/history?text=refused+10.0.0.7&page=2",
    "Targets": "/targets",
    "one target": "/targets/one?proxy=nginx&target=10.0.0.7:8080",
    "This machine": "/machine",
    "Explain": "/explain?text=502",
    "the reference": "/explain/reference",
    "a cause": "/explain/causes/wrong-port",
    "Check a configuration": "/lint",
    "Diagnose a bundle": "/diagnose",
    "Logs": "/logs",
    "incidents as JSON": "/api/1/incidents",
}


@dataclass(slots=True, frozen=True, kw_only=True)
class Measured:
    """How long a page takes, in seconds, and the peer asked in turn with it."""

    name: str
    size_bytes: int
    processor_s: float
    taken_s: list[float]
    peer_s: list[float]

    @property
    def p95_s(self) -> float:
        """Return what 95 of 100 requests do not exceed."""
        return p95(self.taken_s)

    @property
    def row(self) -> str:
        """Return a row of the table."""
        figures = (self.processor_s, statistics.median(self.taken_s), self.p95_s, p95(self.peer_s))
        shown = " | ".join(f"{1000 * seconds:.0f} ms" for seconds in figures)
        return f"| {self.name} | {self.size_bytes / 1000:.0f} kB | {shown} |"


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def main() -> int:
    """Return 1 if a page took longer than its limit."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "watch.db")
        filled(path)
        megabytes = path.stat().st_size / 1e6
        with served(path) as (url, pid):
            used = {name: used_s(url, page, pid) for name, page in PAGES.items()}
            with beside(view, url) as updates, beside(write, path) as commits:
                found = [measured(url, name, page, used[name]) for name, page in PAGES.items()]
            text = table(found, f"{updates.value} updates of {commits.value} commits", megabytes)
    print(text, end="")
    if "--write" in sys.argv[1:]:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")
    return int(any(one.p95_s > LIMIT_S for one in found))


def table(found: list[Measured], updates: str, megabytes: float) -> str:
    """Return the table and what it was measured on."""
    where = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    lines = [
        f"A store of {megabytes:.0f} MB; {where}; {VIEWERS} viewers got {updates}.",
        "",
        "| page | size | processor time | median | p95 | p95 of a file, in turn |",
        "| --- | --- | --- | --- | --- | --- |",
        *(one.row for one in found),
    ]
    return "".join(f"{line}\n" for line in lines)


def used_s(url: str, page: str, pid: int) -> float:
    """Return the processor time that a page takes. The requests are apart, so that each makes it anew."""
    with closing(connection(url)) as client:
        ask(client, page)
        total = 0.0
        for _ in range(5):
            time.sleep(1.1)  # a live page is made once a second
            begin = processor_s(pid)
            ask(client, page)
            total += processor_s(pid) - begin
    return total / 5


def processor_s(pid: int) -> float:
    """Return the processor time that the threads of a process have used (/proc/PID/task/*/schedstat, in ns)."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def ask(client: http.client.HTTPConnection, page: str) -> tuple[float, int]:
    """Return how long a request took, and the size of the answer."""
    begin = time.perf_counter()
    client.request("GET", page)
    response = client.getresponse()
    size = len(response.read())
    assert response.status == 200, (page, response.status)
    return time.perf_counter() - begin, size


def measured(url: str, name: str, page: str, processor: float) -> Measured:
    """Return how long a page takes, and the peer."""
    taken, peer, size = [], [], 0
    with closing(connection(url)) as client:
        for _ in range(REQUESTS):
            seconds, size = ask(client, page)
            taken.append(seconds)
            peer.append(ask(client, PEER)[0])
    return Measured(name=name, size_bytes=size, processor_s=processor, taken_s=taken, peer_s=peer)


def connection(url: str) -> http.client.HTTPConnection:
    """Return a connection to the server."""
    host = urlsplit(url)
    return http.client.HTTPConnection(host.hostname or "", host.port, timeout=60)


@contextmanager
def served(path: Path) -> Iterator[tuple[str, int]]:
    """Run the server; give its address and pid."""
    argv = [sys.executable, "-m", "why502", "serve", "--listen", "127.0.0.1:0", "--settings", os.devnull, "--store", str(path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def beside(work: Callable[..., None], *given: object) -> Iterator[Any]:
    """Run something in a process of its own, which counts in the value that is given to it, and end it afterwards."""
    fork = multiprocessing.get_context("fork")
    counted = fork.Value("L", 0)
    process = fork.Process(target=work, args=(*given, counted))
    process.start()
    try:
        yield counted
    finally:
        process.terminate()
        process.join()


def view(url: str, counted: Any) -> None:
    """Hold the live parts open, and count their updates."""
    host = urlsplit(url)
    with selectors.DefaultSelector() as ready:
        for number in range(VIEWERS):
            path = ("/live/now", "/live/targets", "/live/incidents/00000001")[number % 3]
            client = socket.create_connection((host.hostname, host.port))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\n\r\n".encode())
            ready.register(client, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                counted.value += key.fileobj.recv(1 << 20).count(b"data: {")  # type: ignore[union-attr]


def write(path: Path, counted: Any) -> None:
    """Commit each second what a busy site adds."""
    with Store.open(path) as store:
        while True:
            time.sleep(1)
            now = datetime.now(UTC)
            store.commit(Batch(at=now, observed=[observed([int(now.timestamp()) // 60])]))
            counted.value += 1


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
