"""Malicious bundles: too large, too deep, damaged, or naming files of this machine."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sampled import few
from stranger import TWO_LINES, directory, needs_root, refused
from yardstick import slowness

import why502
from why502 import bundle
from why502.model import bounds
from why502.model.errors import Why502Error
from why502.model.snapshot import LiveSnapshot, Snapshot

pytestmark = pytest.mark.real

GOLDEN = Path(__file__).parents[1] / "golden"
HEAD = b'{"schema":"why502.bundle/2","why502":"1","snapshot":{"taken_at":"2026-11-21T00:00:00Z",'
CPU_S, MEMORY_MIB = 5.0, 300  # seconds on an idle machine of 2024

# Not ru_maxrss of getrusage(2), which starts from the parent's value: its own high water mark, proc_pid_status(5).
_MEASURED = """
import re, sys, time
from why502.cli.main import run
status = run(sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
sys.stdout.flush(); sys.stderr.flush()
open("/proc/self/fd/2", "w").write(f"\\0{time.process_time()} {peak}")
sys.exit(status)
"""


def run(data: bytes, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a bundle, within limits of time and memory."""
    command = [sys.executable, "-c", _MEASURED, *(argv or ("diagnose", "-q")), "--bundle", "-"]
    done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)
    err, _, cost = done.stderr.decode().partition("\0")
    cpu_s, peak = cost.split()
    assert float(cpu_s) <= CPU_S * slowness()
    assert int(peak) <= MEMORY_MIB
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), err)


def many(section: str, row: bytes, count: int) -> bytes:
    return HEAD + b'"%s":[' % section.encode() + b",".join([row] * count) + b"]}}"


LARGE: dict[str, Callable[[], bytes]] = {
    "gigabytes of text": lambda: HEAD + b'"host":"' + b"a" * (300 << 20),
    "one long string": lambda: HEAD + b'"host":"' + b"a" * (60 << 20) + b'"}}',
    "a long string of wide characters": lambda: HEAD + b'"host":"' + b"a" * (40 << 20) + "\U0001f600".encode() + b'"}}',
    "wide characters by escapes": lambda: HEAD + b'"host":"' + b"a" * (40 << 20) + b'\\ud83d\\ude00"}}',
    "processes": lambda: many("processes", b'{"pid":1}', 240_000),
    "processes with a field that is retired": lambda: many("processes", b'{"pid":1,"threads":1}', 240_000),
    "fewer of them": lambda: many("processes", b'{"pid":1,"threads":1}', 120_000),
    "more processes": lambda: many("processes", b'{"pid":1}', 5_000_000),
    "proxies": lambda: many("proxies", b"{}", 240_000),
    "routes": lambda: HEAD + b'"proxies":[{"routes":[' + b",".join([b"{}"] * 240_000) + b"]}]}}",
    "different strings": lambda: HEAD + b'"addresses":[' + b",".join(b'"x%d"' % n for n in range(900_000)) + b"]}}",
    "a large table": lambda: HEAD + b'"kernel":{"connections":{' + b",".join(b'"x%d":1' % n for n in range(800_000)) + b"}}}}",
    "nested arrays": lambda: HEAD + b'"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}}",
    "nested objects": lambda: HEAD + b'"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}",
    "only commas": lambda: HEAD + b'"x":[' + b"0," * 30_000_000 + b"0]}}",
    "only escaped quotes": lambda: HEAD + b'"host":"' + b'\\"' * (30 << 20),
    "only quotes": lambda: HEAD + b'"x":[' + b'"",' * 20_000_000,
    "a number without end": lambda: HEAD + b'"schema":' + b"9" * (60 << 20) + b"}}",
    "the same key again and again": lambda: HEAD + b",".join([b'"host":"a"'] * 400_000) + b"}}",
}


@pytest.mark.parametrize("what", few(LARGE, 3))
def test_a_large_one_takes_neither_time_nor_memory(what: str) -> None:
    done = run(gzip.compress(LARGE[what](), 1))
    assert done.returncode in (1, 2)
    assert done.returncode == 1 or TWO_LINES.fullmatch(done.stderr), done.stderr
    assert (done.stdout != "") is (done.returncode == 1)


def test_what_was_cut_is_reported() -> None:
    snapshot = bundle.load(gzip.compress(many("processes", b'{"pid":1}', 20_000)), "it")
    assert snapshot.processes is not None
    assert len(snapshot.processes) == bounds.ROWS["processes"]
    assert [gap.reason for gap in snapshot.gaps] == ["processes: only the first 8192 of 20000 were examined"]


def test_a_bundle_of_the_maximum_size_is_diagnosed() -> None:
    now = bundle.load((GOLDEN / "wrong-port.why502").read_bytes(), "golden")
    text = json.loads(gzip.decompress(bundle.save(now)))
    snapshot = text["snapshot"]
    (proxy,), logs = snapshot["proxies"], snapshot["logs"]
    route, tally = proxy["routes"][0], logs["tallies"][0]
    peers = [{**route["peers"][0], "name": f"127.0.0.1:{3000 + n}"} for n in range(4)]
    proxy["routes"] = [{**route, "location": f"/{n}/", "peers": peers} for n in range(3000)]
    proxy["upstreams"] = [{"name": f"group{n}", "peers": peers} for n in range(1000)]
    logs["tallies"] = [{**tally, "count": n + 1, "server": f"s{n}"} for n in range(bounds._LOG_ROWS["tallies"])]
    snapshot["listeners"] = snapshot["listeners"] * 1000
    snapshot["probes"] = snapshot["probes"] * 500
    done = run(gzip.compress(json.dumps(text).encode(), 1))
    assert done.returncode in (1, 2)
    assert done.returncode == 1 or "CPU time" in done.stderr


def test_damaged_bundles_are_refused() -> None:
    """Mutated, truncated, repeated, with other numbers and names: the result is always a snapshot or a Why502Error."""
    chance = random.Random(502)
    text = gzip.decompress((GOLDEN / "wrong-port.why502").read_bytes())
    odd = (
        b"NaN",
        b"Infinity",
        b"-1",
        b"1e999",
        b"9" * 400,
        b"null",
        b"true",
        b"\xff\xfe",
        b'"\\ud800"',
        b"[]",
        b"{}",
        b'""',
        b"\0",
    )
    outcomes = {"snapshot": 0, "refused": 0}
    for _ in range(3000):
        data = bytearray(text)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            kind = chance.randrange(5)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at:]
            elif kind == 2:
                data[at : at + chance.randrange(60)] = b""
            elif kind == 3:
                data[at:at] = data[at : at + chance.randrange(200)]
            else:
                found = list(re.finditer(rb"(?<=:)(?:\d+|\"[^\"]*\"|true|null)", data))
                if found:
                    match = chance.choice(found)
                    data[match.start() : match.end()] = chance.choice(odd)
            if not data:
                break
        try:
            loaded = bundle.load(gzip.compress(bytes(data), 1), "it")
            assert type(loaded) is Snapshot
            outcomes["snapshot"] += 1
        except Why502Error as error:
            assert error.message and error.hint
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 50, outcomes


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"x" * 100, gzip.compress(b"", mtime=0), gzip.compress(b"\xff\xfe{}", mtime=0)]
)
def test_files_that_are_not_bundles_are_refused(data: bytes) -> None:
    assert TWO_LINES.fullmatch(run(data).stderr)


def hostile(secret: Path) -> bytes:
    """Return a bundle whose remedy edits a file of the machine that reads it: the pool's file, which is not in the bundle."""
    recorded = Path(__file__).parents[1] / "bundles/php-fpm-max-children/php-fpm-max-children.why502"
    text = gzip.decompress(recorded.read_bytes())
    assert b"/etc/php/8.2/fpm/pool.d/www.conf" in text
    return gzip.compress(text.replace(b"/etc/php/8.2/fpm/pool.d/www.conf", str(secret).encode()))


_WATCHED = """
import os, sys
seen = []
watched = ("open", "os.listdir", "os.scandir", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.kill", "socket.connect",
    "os.chmod", "os.rename", "os.remove", "os.system")
from why502.cli.main import run
status = run(["schema"])
own = tuple({p for p in (*sys.path, sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)) if p})
sys.addaudithook(lambda event, args: seen.append((event, str(args[0]))) if event in watched else None)
status = run(sys.argv[1:])
for event, what in list(seen):
    if not what.startswith(own) and what not in ("/dev/null",):
        os.write(2, f"\\0{event} {what}".encode())
sys.exit(status)
"""


@pytest.mark.parametrize(
    "argv",
    [("diagnose",), ("fix",), ("fix", "--format", "json"), ("mitigate", "limit", "/", "20"), ("mitigate", "timeout", "/", "90")],
)
def test_a_bundle_causes_no_read_and_no_action_here(argv: tuple[str, ...], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root-only line 1\nroot-only line 2\n")
    (tmp_path / "evil.why502").write_bytes(hostile(secret))
    command = [sys.executable, "-c", _WATCHED, *argv, "--bundle", str(tmp_path / "evil.why502")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    said, *acts = done.stderr.split("\0")
    assert "Traceback" not in said
    assert done.returncode in (1, 2)
    assert set(acts) <= {f"open {tmp_path}/evil.why502"}, acts
    assert "root-only" not in done.stdout + said
    assert argv != ("fix",) or f"{secret}:" in done.stdout  # the change itself is shown


@pytest.mark.parametrize("how", ["a pipe", "an endless device"])
def test_a_file_that_a_bundle_names_neither_hangs_nor_fills_the_memory(how: str) -> None:
    path = directory() / "pipe"
    os.mkfifo(path)
    done = run(hostile(path if how == "a pipe" else Path("/dev/zero")), "fix")
    assert done.returncode in (1, 2)


@needs_root
def test_a_plan_for_another_machine_is_not_applied() -> None:
    done = run((GOLDEN / "wrong-port.why502").read_bytes(), "fix", "--apply", "--yes")
    assert "--bundle only shows a plan" in refused(done)


def test_no_file_can_claim_to_be_this_machine() -> None:
    snapshot = bundle.load((GOLDEN / "wrong-port.why502").read_bytes(), "it")
    again = bundle.load(bundle.save(LiveSnapshot.of(snapshot)), "it")
    assert type(again) is Snapshot
    assert not isinstance(again, LiveSnapshot)


def test_the_library_applies_no_plan_of_a_bundle(tmp_path: Path) -> None:
    snapshot = why502.load((GOLDEN / "wrong-port.why502").read_bytes())
    (plan, *_) = why502.plan(why502.diagnose(snapshot), snapshot)
    with pytest.raises(Why502Error, match="is for another machine"):
        why502.apply(plan, snapshot, state=str(tmp_path))
