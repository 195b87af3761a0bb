"""How fast lines are explained, compared with a lower bound for Python: a bare loop that runs one regular expression on each line
of the same file.

    python bench/explain.py [LINES] [FILE]

Prints the seconds of both, their ratio, and the largest memory; also the time of `why502 explain LINE` and of its imports
alone.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BARE = """
import re, sys, time
pattern = re.compile(
    r'(?P<at>\\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d) \\[(?P<level>\\w+)\\] (?P<pid>\\d+)#(?P<tid>\\d+): '
    r'(?:\\*(?P<connection>\\d+) )?'
    r'(?P<message>[^,]*)(?:, client: (?P<client>[^,]*), server: (?P<server>[^,]*))?'
    r'(?:, request: "(?P<request>[^"]*)")?(?:, upstream: "(?P<upstream>[^"]*)")?(?:, host: "(?P<host>[^"]*)")?')
started = time.perf_counter()
n = 0
with open(sys.argv[1], encoding="utf-8", errors="surrogateescape") as lines:
    for line in lines:
        if pattern.match(line):
            n += 1
print(n, time.perf_counter() - started)
"""
MESSAGES = (
    "connect() failed (111: Connection refused) while connecting to upstream",
    "upstream timed out (110: Connection timed out) while reading response header from upstream",
    "upstream prematurely closed connection while reading response header from upstream",
    "recv() failed (104: Connection reset by peer) while reading response header from upstream",
    "no live upstreams while connecting to upstream",
    "upstream sent too big header while reading response header from upstream",
    "connect() failed (113: No route to host) while connecting to upstream",
    "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking to upstream",
)


def lines(count: int) -> Iterator[str]:
    """Yield error log lines: mostly failures of a few dozen backends, and other typical lines."""
    chance = random.Random(502)
    for at in range(count):
        head = f"2026/11/20 {at // 36000 % 24:02d}:{at // 600 % 60:02d}:{at // 10 % 60:02d} "
        pid = f"{chance.randrange(900, 999)}#0: *{at} "
        client = (
            f"client: 10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}, server: "
            f"shop{chance.randrange(20)}.example.com"
        )
        uri = f"/items/{chance.randrange(100000)}?page={chance.randrange(50)}"
        kind = chance.random()
        if kind < 0.8:
            message, peer = chance.choice(MESSAGES), f"10.0.0.{chance.randrange(2, 40)}:{chance.choice((3000, 8080))}"
            yield (
                f'{head}[error] {pid}{message}, {client}, request: "GET {uri} HTTP/1.1", upstream: "http://{peer}{uri}", '
                'host: "shop.example.com"'
            )
        elif kind < 0.88:
            yield (
                f'{head}[error] {pid}open() "/var/www/html/img{chance.randrange(5000)}.png" failed (2: No such file or '
                f'directory), {client}, request: "GET {uri} HTTP/1.1", host: "shop.example.com"'
            )
        elif kind < 0.92:
            yield (
                f"{head}[error] {pid}limiting requests, excess: {chance.randrange(1, 60)}.{chance.randrange(1000):03d} by "
                f'zone "one", {client}, request: "GET {uri} HTTP/1.1", host: "shop.example.com"'
            )
        elif kind < 0.96:
            yield (f"{head}[info] {pid}client {chance.randrange(200)}.1.2.3 closed keepalive connection")
        elif kind < 0.98:
            yield (
                f"{head}[warn] {pid}a client request body is buffered to a temporary file /var/lib/nginx/body/{at:010d}, "
                f'{client}, request: "POST {uri} HTTP/1.1", host: "shop.example.com"'
            )
        else:
            yield (
                f"[Fri Nov 20 22:50:10.981497 2026] [proxy:error] [pid {chance.randrange(9)}:tid {at}] (111)Connection "
                "refused: AH00957: http: attempt to connect to 127.0.0.1:9953 (127.0.0.1:9953) failed"
            )


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(directory) / "error.log"
        if len(sys.argv) <= 2:
            with path.open("w") as file:
                file.writelines(f"{line}\n" for line in lines(count))
        bare = subprocess.run([sys.executable, "-c", BARE, str(path)], capture_output=True, text=True, check=True).stdout.split()
        started = time.perf_counter()
        with path.open("rb") as source, open(os.devnull, "wb") as sink:
            subprocess.run(
                [sys.executable, "-m", "why502", "explain", "--format", "jsonl", "-"], stdin=source, stdout=sink, check=False
            )
        took = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        floor = float(bare[1])
        print(f"lines: bare {floor:.2f} s, why502 {took:.2f} s, ratio {took / floor:.2f}, peak {peak:.0f} MiB")
    line = next(lines(1))
    imports = "import click, msgspec, why502.cli.main, why502.cli.commands.explain, why502.explanation, why502.render.explanation"
    once = _best([sys.executable, "-m", "why502", "explain", line])
    start = _best([sys.executable, "-c", imports])
    print(f"one line: {once * 1000:.0f} ms, the imports alone {start * 1000:.0f} ms, ratio {once / start:.2f}")


def _best(argv: list[str]) -> float:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
