"""How long `why502` takes to start, and small logs against gawk, in one run.

    python bench/logs/start.py [--runs 20] [--directory DIR]

The floor is printed first: an interpreter that does nothing, and a click command that does nothing. No program in Python can be
faster than these, whatever the size of the log.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench/logs")]

from run import AWK, WHY502, race  # noqa: E402
from truth import Shape, write  # noqa: E402

CLICK = "import click\n@click.command()\ndef f(): pass\nf(['--help'])"
LINE = "connect() failed (111: Connection refused) while connecting to upstream"
LINES = (1_000, 10_000, 100_000, 300_000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--directory", type=Path)
    asked = parser.parse_args()
    why502 = WHY502[:-1]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; the least wall time, and of all processors")
    for what, took in race(
        {
            "an empty interpreter": [sys.executable, "-c", ""],
            "click --help": [sys.executable, "-c", CLICK],
            "why502 --help": [*why502, "--help"],
            "why502 explain LINE": [*why502, "explain", LINE],
        },
        asked.runs,
    ).items():
        print(f"{what:<22} {took.wall_s * 1000:6.0f} ms ({took.cpu_s * 1000:.0f})", flush=True)
    with tempfile.TemporaryDirectory(prefix="why502-bench-", dir=asked.directory) as directory:
        for lines in LINES:
            path = Path(directory) / f"{lines}.log"
            write(path, Shape(format="nginx-combined", lines=lines, clients=65_000, paths=1_000))
            best = race({"why502": [*WHY502, str(path)], "gawk": ["gawk", AWK, str(path)]}, asked.runs)
            mine, its = best["why502"], best["gawk"]
            print(
                f"{lines:>7} lines         {mine.wall_s * 1000:6.0f} ms ({mine.cpu_s * 1000:.0f})   "
                f"gawk {its.wall_s * 1000:5.0f} ms   {its.wall_s / mine.wall_s:.2f} ×",
                flush=True,
            )


if __name__ == "__main__":
    main()
