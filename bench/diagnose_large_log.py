"""How much longer a diagnosis takes with a 1 GB access log and a 100 MB error log than with 1 MB of each, window 15 minutes.

Only the window is read, so the ratio should stay below 1.3, and peak memory below 150 MB. Both runs have the same lines in the
window. With `--full-outage N` the window holds N failures instead; time and memory are printed.

    python bench/diagnose_large_log.py [--access-mb 1000] [--error-mb 100] [--runs 5] [--full-outage 900000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

CLI = """
import atexit, sys
def peak():
    print("peak_mb", int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024, file=sys.stderr)
atexit.register(peak)
from why502.cli.main import main
main()
"""
FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    'ua="$upstream_addr" us="$upstream_status" uct="$upstream_connect_time" uht="$upstream_header_time" '
    'urt="$upstream_response_time" rt=$request_time'
)
NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
WINDOW = timedelta(minutes=15)
CONFIG = """
error_log {directory}/error.log; pid {directory}/nginx.pid; events {{ }}
http {{
  log_format timed '{format}';
  access_log {directory}/access.log timed;
  server {{ listen 127.0.0.1:18080; server_name example.com; location / {{ proxy_pass http://127.0.0.1:3001; }} }}
}}
"""
CHILD = """
import json, sys, time
from datetime import datetime, timedelta
from why502.host.local import LocalHost
from why502.logs.line_reader import LogInput
from why502.logs.summary import summarise
directory, form, since, until = sys.argv[1:5]
started = time.perf_counter()
summary, gaps = summarise(
    LocalHost(),
    [LogInput(path=directory + "/error.log", kind="error"), LogInput(path=directory + "/access.log", kind="access", format=form)],
    datetime.fromisoformat(since), datetime.fromisoformat(until), patience_s=300,
)
took = time.perf_counter() - started
peak_kb = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
print(json.dumps({"took_s": took, "peak_mb": peak_kb / 1024, "requests": summary.requests,
    "failures": sum(count for status, count in summary.by_status.items() if status >= "499"), "kinds": len(summary.tallies),
    "gaps": [gap.reason for gap in gaps]}))
"""


def access_line(at: datetime, number: int, *, fails: bool) -> bytes:
    """Return one access log line in FORMAT."""
    status, header = ("502", "-") if fails else ("200", f"0.{number % 300:03d}")
    return (
        f'10.0.{number % 7}.{number % 250} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /api/items/{number % 5000}?page={number % 9} '
        'HTTP/1.1" '
        f'{status} 1234 "https://example.com/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML) Chrome/120.0 '
        'Safari/537.36" '
        f'ua="127.0.0.1:3001" us="{status}" uct="{header}" uht="{header}" urt="0.{number % 300:03d}" rt=0.{number % 300:03d}\n'
    ).encode()


def error_line(at: datetime, number: int) -> bytes:
    """Return the error line of the same request."""
    path = f"/api/items/{number % 5000}?page={number % 9}"
    return (
        f"{at:%Y/%m/%d %H:%M:%S} [error] 71#71: *{number} connect() failed (111: Connection refused) while connecting to "
        "upstream, "
        f'client: 10.0.{number % 7}.{number % 250}, server: example.com, request: "GET {path} HTTP/1.1", '
        f'upstream: "http://127.0.0.1:3001{path}", host: "example.com"\n'
    ).encode()


def fill(path: Path, size_bytes: int, lines: Iterator[bytes], old: bytes, old_at: datetime, pattern: str) -> None:
    """Write old lines, one block for each minute before the window, until the file has the given size; then write `lines`."""
    tail = b"".join(lines)
    left = size_bytes - len(tail)
    minutes = max(left // len(old), 1)
    with path.open("wb") as file:
        written = 0
        for minute in range(minutes, 0, -1):
            stamp = (old_at - timedelta(minutes=minute)).strftime(pattern).encode()
            if written + len(old) > left:
                break
            written += file.write(old.replace(b"@" * len(stamp), stamp))
        file.write(tail)


def make(directory: Path, access_bytes: int, error_bytes: int, *, healthy: int, failed: int) -> None:
    """Write a configuration and both logs; the window holds this many requests of each kind."""
    directory.mkdir(parents=True)
    (directory / "nginx.conf").write_text(CONFIG.format(directory=directory, format=FORMAT))
    begin, total = NOW - WINDOW, healthy + failed
    every = total // failed if failed else total + 1

    def at(number: int) -> datetime:
        return begin + WINDOW * (number / total)

    window = begin - timedelta(minutes=1)
    old = b"".join(access_line(window, number, fails=False) for number in range(400 if access_bytes > 10_000_000 else 20))
    stamp = window.strftime("%d/%b/%Y:%H:%M:%S").encode()
    fill(
        directory / "access.log",
        access_bytes,
        (access_line(at(n), n, fails=n % every == 0) for n in range(total)),
        old.replace(stamp, b"@" * len(stamp)),
        window,
        "%d/%b/%Y:%H:%M:%S",
    )
    old = b"".join(error_line(window, number) for number in range(40 if error_bytes > 10_000_000 else 4))
    stamp = window.strftime("%Y/%m/%d %H:%M:%S").encode()
    fill(
        directory / "error.log",
        error_bytes,
        (error_line(at(n), n) for n in range(0, total, every)),
        old.replace(stamp, b"@" * len(stamp)),
        window,
        "%Y/%m/%d %H:%M:%S",
    )


def measure(directory: Path) -> dict[str, float]:
    """Return the cost of one run in a new process. `whole_s` includes the start of Python."""
    started = time.perf_counter()
    argv = [sys.executable, "-c", CHILD, str(directory), FORMAT, (NOW - WINDOW).isoformat(), NOW.isoformat()]
    result = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    return {**result, "whole_s": time.perf_counter() - started}


def measure_command(directory: Path) -> dict[str, float]:
    """Return the cost of a whole `why502 diagnose`, including the start of Python."""
    asked = ["--config", str(directory / "nginx.conf"), "--no-probe", "--format", "json"]
    window = ["--since", (NOW - WINDOW).isoformat(), "--until", NOW.isoformat()]
    started = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", CLI, "diagnose", *asked, *window], check=False, capture_output=True, text=True)
    took_s = time.perf_counter() - started
    traffic = json.loads(run.stdout)["traffic"]
    peak = next((float(line.split()[1]) for line in run.stderr.splitlines() if line.startswith("peak_mb")), float("nan"))
    return {"took_s": took_s, "peak_mb": peak, "requests": traffic["requests"]}


def best_command(directory: Path, runs: int) -> dict[str, float]:
    """Return the median run."""
    return sorted((measure_command(directory) for _ in range(runs)), key=lambda run: run["took_s"])[runs // 2]


def best(directory: Path, runs: int) -> dict[str, float]:
    """Return the median run."""
    found = sorted((measure(directory) for _ in range(runs)), key=lambda run: run["took_s"])
    return {**found[len(found) // 2], "spread_s": statistics.pstdev(run["took_s"] for run in found)}


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--access-mb", type=int, default=1000)
    parser.add_argument("--error-mb", type=int, default=100)
    parser.add_argument("--healthy", type=int, default=2500, help="healthy requests in the window")
    parser.add_argument("--failed", type=int, default=500, help="failed requests in the window")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--full-outage", type=int, default=0, help="instead: a window of so many failures and nothing else")
    parser.add_argument("--busy", type=int, default=0, help="instead: a window of so many healthy requests and 30 failures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="why502-bench-") as name:
        directory = Path(name)
        if asked.full_outage or asked.busy:
            healthy, failed = (0, asked.full_outage) if asked.full_outage else (asked.busy, 30)
            make(directory / "one", 0, 0, healthy=healthy, failed=failed)
            one = best(directory / "one", asked.runs)
            print(f"{healthy} healthy, {failed} failed in the window: {one['took_s']:.2f} s, peak {one['peak_mb']:.0f} MB")
            print(json.dumps(one))
            return
        make(directory / "small", 1_000_000, 1_000_000, healthy=asked.healthy, failed=asked.failed)
        make(
            directory / "large",
            asked.access_mb * 1_000_000,
            asked.error_mb * 1_000_000,
            healthy=asked.healthy,
            failed=asked.failed,
        )
        small, large = best(directory / "small", asked.runs), best(directory / "large", asked.runs)
        for label, run in (("1 MB + 1 MB", small), (f"{asked.access_mb} MB + {asked.error_mb} MB", large)):
            print(
                f"{label:>18}: summary {run['took_s'] * 1000:6.0f} ms (±{run['spread_s'] * 1000:.0f}), with start-up "
                f"{run['whole_s'] * 1000:6.0f} ms, peak {run['peak_mb']:.0f} MB, {run['requests']} requests, "
                f"{run['failures']} failures"
            )
        mine, theirs = best_command(directory / "small", asked.runs), best_command(directory / "large", asked.runs)
        print(
            f"why502 diagnose --no-probe: {mine['took_s'] * 1000:.0f} ms, peak {mine['peak_mb']:.0f} MB with the small logs; "
            f"{theirs['took_s'] * 1000:.0f} ms, peak {theirs['peak_mb']:.0f} MB with the large ones: ratio "
            f"{theirs['took_s'] / mine['took_s']:.2f}"
        )
        print(
            f"ratio {large['took_s'] / small['took_s']:.2f} (summary), {large['whole_s'] / small['whole_s']:.2f} (with "
            "start-up); wanted: at most 1.3"
        )


if __name__ == "__main__":
    main()
