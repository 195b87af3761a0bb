"""Write an access log as nginx does: combined with five upstream fields appended, 1 % of the requests failed.

    python bench/logs/make.py FILE [--mb 1000] [--lines-per-second 50] [--failures 0.01] [--start 2026-11-20T00:00:00]

About 245 bytes a line. The lines vary as in production: 5000 clients, 40 routes with numbers in their paths, 8 targets,
20 user agents, response times with a long tail, a burst of failures of one target. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time"
)
_AGENTS = [
    f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{100 + n}.0.0.0 Safari/537.36"
    for n in range(16)
] + [f"curl/7.{n}.0" for n in range(4)]
_TARGETS = [f"10.0.0.{n}:8080" for n in range(1, 9)]
_NAMES = (
    "users orders items carts search login logout images reports health status news tags teams files posts pages rates plans jobs"
).split()


def tails(rng: random.Random, count: int, failures: float, bad: str | None = None) -> list[bytes]:
    """Return the parts before and after the time of this many lines, joined by a marker."""
    found = []
    for _ in range(count):
        client = f"203.0.{rng.randrange(20)}.{rng.randrange(250)}"
        name = rng.choice(_NAMES)
        path = f"/api/v1/{name}" if rng.random() < 0.4 else f"/api/v1/{name}/{rng.randrange(100000)}?page={rng.randrange(9)}"
        target = rng.choice(_TARGETS)
        fails = rng.random() < (0.4 if target == bad else failures)
        took = min(rng.lognormvariate(-3.2, 1.0), 30.0)
        status, fields = 200, f"{target} 200 0.00{rng.randrange(3)} {took:.3f} {took + 0.001:.3f}"
        if fails:
            kind = rng.random()
            if kind < 0.2:
                other = rng.choice(_TARGETS)
                fields = f"{target}, {other} 502, 200 0.001, 0.001 -, {took:.3f} 0.001, {took:.3f}"
            elif kind < 0.7:
                status, fields = 502, f"{target} 502 - - 0.000"
            else:
                status, fields = 504, f"{target} 504 0.001 - 60.001"
        elif rng.random() < 0.05:
            status = 404
            fields = fields.replace(" 200 ", " 404 ")
        found.append(
            f'{client} - - [\0] "{rng.choice(("GET", "GET", "GET", "POST"))} {path} HTTP/1.1" {status} '
            f"{rng.randrange(200, 40000)} "
            f'"https://www.example.com/{name}" "{rng.choice(_AGENTS)}" {fields}\n'.encode()
        )
    return found


def lines(start: datetime, per_second: int, failures: float, seed: int = 1) -> Iterator[bytes]:
    """Yield the lines of one second after the other, without end."""
    rng = random.Random(seed)
    healthy, burst = tails(rng, 20000, failures), tails(rng, 5000, failures, _TARGETS[2])
    second = 0
    while True:
        stamp = f"{start + timedelta(seconds=second):%d/%b/%Y:%H:%M:%S +0000}".encode()
        pool = burst if 3600 <= second < 3600 + 480 else healthy
        first = rng.randrange(len(pool) - per_second)
        yield b"".join(pool[first : first + per_second]).replace(b"\0", stamp)
        second += 1


def write(
    path: Path, size_bytes: int, *, per_second: int = 50, failures: float = 0.01, start: str = "2026-11-20T00:00:00"
) -> int:
    """Write the file; return its number of lines."""
    count = written = 0
    with path.open("wb") as file:
        for block in lines(datetime.fromisoformat(start).replace(tzinfo=UTC), per_second, failures):
            written += file.write(block)
            count += per_second
            if written >= size_bytes:
                return count
    return count


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--lines-per-second", type=int, default=50)
    parser.add_argument("--failures", type=float, default=0.01)
    parser.add_argument("--start", default="2026-11-20T00:00:00")
    asked = parser.parse_args()
    count = write(asked.file, asked.mb * 1_000_000, per_second=asked.lines_per_second, failures=asked.failures, start=asked.start)
    print(f"{asked.file}: {asked.file.stat().st_size} bytes, {count} lines")


if __name__ == "__main__":
    main()
