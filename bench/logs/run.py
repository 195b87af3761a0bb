"""Benchmarks of `why502 logs`, each with comparable tools in the same run on the same file.

    python bench/logs/run.py [--mb 1000] [--runs 5] [--directory DIR] [--window-gb 5] [--slow]

Needs gawk, mawk, ripgrep and goaccess (Debian packages) and, with --slow, ngxtop (PyPI, on the PATH). The commands take turns, so
that other load on the machine affects all of them equally; the fastest run of each counts. GoAccess and ngxtop are so slow that
they run once, on a tenth of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, NamedTuple

from make import FORMAT, write

WHY502 = [sys.executable, "-m", "why502", "logs"]
AWK = "{if($9==502) c++} END{print (c/NR)*100}"
RG = '" 50[0-9] '
GOACCESS = '%h %^ %e [%d:%t %^] "%r" %s %b "%R" "%u" %^ %^ %^ %^ %T'
NGXTOP = FORMAT


class Took(NamedTuple):
    """Seconds of wall time, and of CPU time summed over all processors."""

    wall_s: float
    cpu_s: float


def timed(argv: list[str] | str) -> Took:
    """Return the run time of a command. Exit statuses 0 and 1 are accepted, 1 not with a traceback."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    done = subprocess.run(
        argv, env=environment, shell=isinstance(argv, str), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    took, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1) or (done.returncode == 1 and b"Traceback" in done.stderr):
        raise SystemExit(f"{argv}: {done.stderr.decode()[-300:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(took, cpu)


def race(commands: dict[str, list[str] | str], runs: int) -> dict[str, Took]:
    """Return the least wall time and the least CPU time of each command; the commands take turns."""
    best = dict.fromkeys(commands, Took(float("inf"), float("inf")))
    for _ in range(runs):
        for name, argv in commands.items():
            took = timed(argv)
            best[name] = Took(min(best[name].wall_s, took.wall_s), min(best[name].cpu_s, took.cpu_s))
    return best


def peak_mb(argv: list[str], stdin: IO[bytes] | None = None) -> float:
    """Return the peak memory of a command with its child processes, in MB (proportional set size)."""
    process = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        found = 0
        for pid in (process.pid, *_children(process.pid)):
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                found += int(text.split("\nPss:")[1].split()[0])
            except (OSError, IndexError):
                continue
        most = max(most, found)
        time.sleep(0.01)
    return most / 1024


def _children(pid: int) -> list[int]:
    """Return the child processes of a process, and their descendants."""
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return found + [grandchild for child in found for grandchild in _children(child)]


def say(what: str, mine: Took, its: Took, peer: str, wanted: str, *, faster: bool = True) -> None:
    """Print one figure: the ratio of the wall times, and the CPU times, which depend less on other load."""
    ratio = its.wall_s / mine.wall_s if faster else mine.wall_s / its.wall_s
    unit = "× as fast" if faster else "× the time"
    print(
        f"{what:<24} {mine.wall_s:7.3f} s (processors {mine.cpu_s:6.3f} s)   {peer:<28} {its.wall_s:7.3f} s "
        f"({its.cpu_s:6.3f} s)   "
        f"{ratio:6.2f} {unit}   (wanted: {wanted})",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--window-gb", type=float, default=5.0)
    parser.add_argument("--slow", action="store_true", help="also ngxtop")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="why502-bench-", dir=asked.directory) as name:
        directory = Path(name)
        whole, tenth = directory / "access.log", directory / "tenth.log"
        lines = write(whole, asked.mb * 1_000_000)
        write(tenth, asked.mb * 100_000)
        print(
            f"{whole.stat().st_size / 1e9:.2f} GB, {lines} lines, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        best = race(
            {
                "why502": [*WHY502, str(whole)],
                "gawk": ["gawk", AWK, str(whole)],
                "mawk": ["mawk", AWK, str(whole)],
                "only": [*WHY502, str(whole), "--only", "5xx", "--by", "minute"],
                "rg": f"LC_ALL=C rg -c '{RG}' {whole}",
            },
            asked.runs,
        )
        say("full report", best["why502"], best["gawk"], "gawk, one number", "3")
        say("full report", best["why502"], best["mawk"], "mawk, one number", "3")
        say("failures only, by minute", best["only"], best["rg"], "rg -c", "at most 4", faster=False)
        slow = {
            "goaccess": [
                "goaccess",
                str(tenth),
                "--no-global-config",
                f"--log-format={GOACCESS}",
                "--date-format=%d/%b/%Y",
                "--time-format=%H:%M:%S",
                "-o",
                str(directory / "report.json"),
            ]
        }
        if asked.slow and shutil.which("ngxtop"):
            slow["ngxtop"] = ["ngxtop", "-l", str(tenth), "-f", NGXTOP, "--no-follow", "print", "status"]
        for name_, argv in slow.items():
            took = Took(*(10 * value for value in timed(argv)))
            say("full report", best["why502"], took, f"{name_} (a tenth, times ten)", "40" if name_ == "goaccess" else "100")
        subprocess.run(f"gzip -k -6 {whole}", shell=True, check=True)
        best = race({"why502": [*WHY502, f"{whole}.gz"], "zcat": f"zcat {whole}.gz | wc -l"}, max(asked.runs // 2, 1))
        say(".gz", best["why502"], best["zcat"], "zcat | wc -l", "at most 1.5", faster=False)
        print(
            f"peak memory: {peak_mb([*WHY502, str(whole)]):.0f} MB plain, {peak_mb([*WHY502, f'{whole}.gz']):.0f} MB .gz   "
            "(wanted: below 300)",
            flush=True,
        )
        tenth.unlink()
        Path(f"{whole}.gz").unlink()
        window(directory, whole, asked)


def window(directory: Path, whole: Path, asked: argparse.Namespace) -> None:
    """Measure 15 minutes in the middle of a large file, in which the same seconds repeat with new timestamps."""
    large = directory / "large.log"
    day = datetime(2026, 11, 1, tzinfo=UTC)
    old = b"20/Nov/2026"
    with large.open("wb") as target:
        while target.tell() < asked.window_gb * 1e9:
            stamp = f"{day:%d/%b/%Y}".encode()
            with whole.open("rb") as source:
                while block := source.readlines(8 << 20):
                    target.write(b"".join(block).replace(old, stamp))
            day += timedelta(days=1)
    middle = (day - timedelta(days=2)).strftime("%Y-%m-%d")
    argv = [*WHY502, str(large), "--since", f"{middle}T10:00+00:00", "--until", f"{middle}T10:15+00:00"]
    took = min(timed(argv).wall_s for _ in range(asked.runs))
    told = json.loads(subprocess.run([*argv, "--format", "json"], capture_output=True, check=False).stdout)
    print(
        f"15 minutes of {large.stat().st_size / 1e9:.1f} GB: {took:.3f} s, {told['requests']} requests   (wanted: below 0.5 s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
