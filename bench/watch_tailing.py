"""What following logs costs: a flood of lines, logs in which nothing happens, and the start with a large log.

    python bench/watch_tailing.py [--seconds 60] [--lines-per-second 100000] [--idle-seconds 30] [--gigabytes 20]

The flood is written by a process of its own while the logs are followed. The counts must be exact; time is that of the process
that follows, in seconds of one processor; memory is the peak of its resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from why502.gateways.nginx.config import load
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.watch.model import Observed
from why502.watch.tailing import Tailer

FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" '
    "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time"
)
CONFIG = """
events {{ }}
http {{
  log_format timed '{format}';
  error_log {directory}/error.log;
  upstream app {{ server 127.0.0.1:3001; server 127.0.0.1:3002; }}
  server {{
    listen 80; server_name shop.example; access_log {directory}/access.log timed;
    location / {{ root /srv; }}
    location /api/ {{ proxy_pass http://app; }}
    {more}
  }}
}}
"""
WRITER = """
import sys, time
path, per_second, seconds, failing = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
agents = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "okhttp/4.12.0",
]
good = [
    f'10.{n % 7}.{n % 200}.{n % 250} - - [AT] "GET /api/item/{n % 1000}?page={n} HTTP/1.1" 200 {n} "-" "{agents[n % 3]}" '
    f"127.0.0.1:{3001 + n % 2} 200 0.000 0.0{n % 90 + 10} 0.0{n % 90 + 10}\\n"
    for n in range(10_000)
]
bad = '10.0.0.1 - - [AT] "GET /api/pay HTTP/1.1" 502 157 "-" "curl/8.5.0" 127.0.0.1:3001 502 - - 0.000\\n'
step = per_second // 20
every = int(1 / failing) if failing else 0
lines = [bad if every and n % every == 0 else good[n % len(good)] for n in range(step)]
text = "".join(lines)
begin, written = time.monotonic(), 0
with open(path, "a") as stream:
    while time.monotonic() - begin < seconds:
        due = int((time.monotonic() - begin) * 20) + 1
        while written < due:
            stream.write(text.replace("[AT]", time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime())))
            stream.flush()
            written += 1
        time.sleep(0.005)
print(written * step, written * sum(line is bad for line in lines), time.monotonic() - begin)
"""


class Sums:
    """What was counted."""

    def __init__(self) -> None:
        self.requests = self.failures = self.most_lag_bytes = 0
        self.most_lag_s = 0.0
        self.reasons: set[str] = set()

    def put(self, observed: Observed) -> None:
        """Add what a log added."""
        self.requests += observed.requests.total()
        self.failures += observed.failures.total()
        self.most_lag_bytes = max(self.most_lag_bytes, observed.lag_bytes)
        self.most_lag_s = max(self.most_lag_s, observed.lag_s)
        self.reasons |= {observed.reason} - {""}


def machine(directory: Path, more: str = "") -> Snapshot:
    """Return the snapshot of a machine with an nginx that logs to a directory."""
    text = CONFIG.format(directory=directory, format=FORMAT, more=more).encode()
    found = load(lambda _: text, lambda _: [], "/etc/nginx/nginx.conf")
    parts = {name: getattr(found, name) for name in ("files", "routes", "upstreams", "servers", "answers", "logs")}
    return Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(pid=os.getpid(), **parts),))


def peak_mb() -> float:
    """Return the largest resident set of this process so far."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def flood(directory: Path, per_second: int, seconds: float, failing: float) -> None:
    """Follow a log that is flooded."""
    for name in ("access.log", "error.log"):
        (directory / name).touch()
    sums = Sums()
    tailer = Tailer(machine(directory), {}, None, sums.put)
    tailer.start()
    used, before_mb = time.process_time(), peak_mb()
    command = [sys.executable, "-c", WRITER, str(directory / "access.log"), str(per_second), str(seconds), str(failing)]
    written, failed, took_s = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    ended = time.monotonic()
    while sums.requests < int(written) and time.monotonic() - ended < 120:
        time.sleep(0.05)
    late_s = time.monotonic() - ended
    used = time.process_time() - used
    tailer.stop()
    size_mb = (directory / "access.log").stat().st_size / 1e6
    is_exact = (sums.requests, sums.failures) == (int(written), int(failed))
    print(
        f"flood, {failing:.2%} failing: {int(written) / float(took_s):,.0f} lines/s, {size_mb / float(took_s):.1f} MB/s "
        f"for {float(took_s):.0f} s; "
        f"counts {'exact' if is_exact else f'WRONG: {sums.requests} of {written}, {sums.failures} of {failed}'}; "
        f"{used / float(took_s):.2f} of a processor; behind at most {sums.most_lag_bytes / 1e6:.1f} MB, "
        f"{late_s:.2f} s at the end; peak {peak_mb():.0f} MB (before: {before_mb:.0f} MB)",
        flush=True,
    )


def idle(directory: Path, seconds: float, silence_s: float) -> None:
    """Follow 20 logs in which nothing happens."""
    names = [f"log{number}" for number in range(19)]
    more = "\n".join(f"location /{name}/ {{ access_log {directory}/{name}.log timed; }}" for name in names)
    for name in (*names, "access", "error"):
        (directory / f"{name}.log").write_text("")
        for number in range(1, 15):
            (directory / f"{name}.log.{number}.gz").touch()
    tailer = Tailer(machine(directory, more), {}, None, Sums().put)
    tailer.start()
    for what, wait_s in (("just after a line", 5.0), ("after a minute of silence", silence_s)):
        time.sleep(wait_s)
        used = time.process_time()
        time.sleep(seconds)
        print(
            f"idle, 21 logs with 14 rotated files each, {what}: {(time.process_time() - used) / seconds:.2%} of a processor",
            flush=True,
        )
    tailer.stop()


def start(directory: Path, gigabytes: float) -> None:
    """Begin to follow a large log: lines of a week at both ends, and a hole between them."""
    line = '10.0.0.1 - - [{}] "GET /api/a HTTP/1.1" 200 157 "-" "curl/8" 127.0.0.1:3001 200 0.0 0.0 0.0\n'

    def lines(begin: float, count: int, step_s: float) -> str:
        times = (datetime.fromtimestamp(begin + number * step_s, UTC) for number in range(count))
        return "".join(line.format(at.strftime("%d/%b/%Y:%H:%M:%S +0000")) for at in times)

    (directory / "error.log").touch()
    now = time.time()
    with (directory / "access.log").open("w") as stream:
        stream.write(lines(now - 7 * 86400, 200_000, 1))
        stream.truncate(int(gigabytes * 1e9))
        stream.seek(int(gigabytes * 1e9))
        stream.write("\n" + lines(now - 86400, 864_000, 0.1))
    sums = Sums()
    began = time.monotonic()
    tailer = Tailer(machine(directory), {}, None, sums.put)
    while tailer.turn():
        pass
    took_s = time.monotonic() - began
    tailer.stop()
    size = (directory / "access.log").stat()
    print(
        f"start with a log of {size.st_size / 1e9:.1f} GB ({size.st_blocks * 512 / 1e6:.0f} MB of it lines): ready and caught "
        f"up in {took_s:.2f} s: {sums.requests} requests of the last 15 minutes"
    )


def main() -> None:
    """Measure, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--lines-per-second", type=int, default=100_000)
    parser.add_argument("--idle-seconds", type=float, default=30)
    parser.add_argument("--silence-seconds", type=float, default=62)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    parts = {
        "flood": lambda directory: flood(directory, options.lines_per_second, options.seconds, 0.001),
        "failures": lambda directory: flood(directory, 10_000, options.seconds / 4, 0.5),
        "idle": lambda directory: idle(directory, options.idle_seconds, options.silence_seconds),
        "start": lambda directory: start(directory, options.gigabytes),
    }
    if options.only:
        with tempfile.TemporaryDirectory() as name:
            parts[options.only](Path(name))
        return
    print(json.dumps({"processors": os.cpu_count(), "load": os.getloadavg()[0]}), flush=True)
    for name in parts:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", name], check=True)


if __name__ == "__main__":
    main()
