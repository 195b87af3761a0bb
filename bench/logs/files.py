"""`why502 logs` on many files, and its memory.

    python bench/logs/files.py [--runs 3] [--gb 2] [--directory DIR]

365 rotated archives against `zcat | wc -l`; 10,000 small files against `cat | gawk`; the peak memory of one process for a log of
so many GB on its standard input, and for a million lines of as many clients and paths. The commands take turns.
"""

from __future__ import annotations

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench/logs")]

from run import AWK, WHY502, peak_mb, race  # noqa: E402
from truth import Shape, write  # noqa: E402

FORMAT = "nginx-combined"
DAYS, LINES_A_DAY = 365, 4000
SMALL, LINES_OF_SMALL = 10_000, 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--directory", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="why502-bench-", dir=asked.directory) as name:
        directory = Path(name)
        log = directory / "all.log"
        write(log, Shape(format=FORMAT, lines=300_000, clients=65_000, paths=1_000))
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; the least wall time, and of all processors")
        archives, small = directory / "archives", directory / "small"
        _parts(log, archives, DAYS, LINES_A_DAY, is_compressed=True)
        _say("365 archives", asked.runs, archives, f"zcat {archives}/* | wc -l")
        _parts(log, small, SMALL, LINES_OF_SMALL)
        _say("10,000 small files", asked.runs, small, f"cat {small}/* | gawk '{AWK}'")
        times = max(1, round(asked.gb * 1e9 / log.stat().st_size))
        print(f"{times * log.stat().st_size / 1e9:.1f} GB: {_peak_of_input(log, times):.0f} MB")
        keys = directory / "keys.log"
        write(keys, Shape(format=FORMAT, lines=1_000_000, clients=1_000_000, paths=1_000_000))
        print(f"a million clients and paths: {peak_mb([*WHY502, str(keys)]):.0f} MB")


def _parts(log: Path, directory: Path, count: int, lines: int, *, is_compressed: bool = False) -> None:
    """Write so many files of so many lines, whose names are those of a rotated log."""
    directory.mkdir()
    source = cycle(log.read_bytes().splitlines(keepends=True))
    for number in range(1, count + 1):
        data = b"".join(islice(source, lines))
        path = directory / f"access.log.{number}{'.gz' if is_compressed else ''}"
        path.write_bytes(gzip.compress(data, 6) if is_compressed else data)


def _say(what: str, runs: int, directory: Path, peer: str) -> None:
    best = race({"why502": [*WHY502, str(directory)], "peer": peer}, runs)
    mine, its = best["why502"], best["peer"]
    print(
        f"{what:<20} {mine.wall_s:6.2f} s ({mine.cpu_s:.2f})   peer {its.wall_s:6.2f} s ({its.cpu_s:.2f})   "
        f"{its.wall_s / mine.wall_s:.2f} ×",
        flush=True,
    )


def _peak_of_input(log: Path, times: int) -> float:
    """Return the peak memory, in MB, of reading a log so many times in a row from standard input."""
    with subprocess.Popen(["cat", *[str(log)] * times], stdout=subprocess.PIPE) as source:
        return peak_mb([*WHY502, "-"], source.stdout)


if __name__ == "__main__":
    main()
