"""`why502 logs` and gawk compared for each format and shape, in one run on the same files. The worst cell is the headline.

    python bench/logs/matrix.py [--lines 1000000] [--repeat 1] [--runs 3] [--format NAME…] [--shape NAME… | --whole]
        [--directory DIR [--keep]] [--without jq goaccess]

The logs are written by tests/truth, which shares no code with the reader. gawk counts one status, like the one-liner in many
guides; why502 makes the full report. The commands take turns; the fastest run of each counts. For JSON, jq prints one member of
each line. Combined logs are read by GoAccess, too. Needs gawk, and jq and goaccess unless they are left out (Debian packages). A
ratio of 2 means that why502 is twice as fast. Ratios of wall times are for all processors of an idle machine; on a busy one,
those of processor times (cpu) mean more.

`--whole`: every number of clients with every number of paths and every share of failures. `--repeat`: the lines are in the file
so many times, which is faster than writing as many. `--keep`: logs stay in the directory, and those of an earlier run are used.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench/logs")]

from run import AWK, WHY502, race  # noqa: E402
from truth import FORMATS, Shape, write  # noqa: E402

ORDINARY = (
    "nginx-combined",
    "nginx-upstream-keys",
    "nginx-json-numbers",
    "apache-combined",
    "haproxy-http",
    "traefik-json",
    "caddy-json",
    "istio-json",
    "envoy-text",
    "ingress-nginx",
    "aws-alb",
    "cloudflare-rfc3339",
    "nginx-error",
    "apache-error",
)
SHAPES = {  # clients, paths, share of failures, targets, order
    "few": (1_000, 10, 0.001, 8, "time"),
    "many": (65_000, 1_000, 0.01, 8, "time"),
    "most": (1_000_000, 300_000, 0.01, 8, "time"),
    "failing": (65_000, 1_000, 0.3, 8, "time"),
    "targets": (65_000, 1_000, 0.01, 1_000, "time"),
    "shuffled": (65_000, 1_000, 0.01, 8, "shuffled"),
}
_WHOLE = {
    f"{clients}-{paths}-{failures}": (clients, paths, failures, 8, "time")
    for clients in (1_000, 65_000, 1_000_000)
    for paths in (10, 1_000, 300_000)
    for failures in (0.001, 0.01, 0.3)
}
_COMBINED = ("nginx-combined", "apache-combined")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--format", nargs="*", default=list(ORDINARY), choices=sorted(FORMATS))
    parser.add_argument("--shape", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], choices=("jq", "goaccess"))
    asked = parser.parse_args()
    shapes = _WHOLE if asked.whole else {name: SHAPES[name] for name in asked.shape}
    worst = worst_by_cpu = (float("inf"), "")
    print(
        f"{asked.lines * asked.repeat} lines, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; why502's and gawk's "
        "least wall and processor time"
    )
    for name in asked.format:
        for shape, numbers in shapes.items():
            with tempfile.TemporaryDirectory(prefix="why502-bench-", dir=asked.directory) as directory:
                kept = (
                    asked.directory / f"{name}.{shape}.{asked.lines}x{asked.repeat}.log"
                    if asked.keep and asked.directory
                    else None
                )
                path = kept or Path(directory) / "access.log"
                if not path.exists():
                    _write(path, name, numbers, asked.lines, asked.repeat)
                by_wall, by_cpu = _measured(path, name, asked.runs, asked.without, shape)
                cell = f"{name}, {shape}"
                worst, worst_by_cpu = min(worst, (by_wall, cell)), min(worst_by_cpu, (by_cpu, cell))
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    print(f"worst: {worst[0]:.2f} × ({worst[1]}); by processor time {worst_by_cpu[0]:.2f} × ({worst_by_cpu[1]})")


def _write(path: Path, name: str, numbers: tuple[int, int, float, int, str], lines: int, repeat: int) -> None:
    clients, paths, failures, targets, order = numbers
    shape = Shape(format=name, lines=lines, clients=clients, paths=paths, failures=failures, targets=targets, order=order)
    part = path.with_suffix(".part")
    write(part, shape)
    data = part.read_bytes()
    with part.open("ab") as file:
        for _ in range(repeat - 1):
            file.write(data)
    part.rename(path)


def _measured(path: Path, name: str, runs: int, without: Sequence[str], shape: str) -> tuple[float, float]:
    """Print one cell; return how many times as fast as gawk it is, by wall time and by processor time."""
    commands: dict[str, list[str] | str] = {"why502": [*WHY502, str(path)], "gawk": ["gawk", AWK, str(path)]}
    if "json" in name or name.startswith("cloudflare"):
        commands["jq"] = ["jq", "-c", ".status", str(path)]
    if name in _COMBINED:
        commands["goaccess"] = ["goaccess", str(path), "--no-global-config", "--log-format=COMBINED", "-o", f"{path}.report.json"]
    best = race({command: argv for command, argv in commands.items() if command not in without}, runs)
    Path(f"{path}.report.json").unlink(missing_ok=True)
    mine, its = best["why502"], best["gawk"]
    ratio, by_cpu = its.wall_s / mine.wall_s, its.cpu_s / mine.cpu_s
    others = "".join(f"   {other} {best[other].wall_s / mine.wall_s:6.1f} ×" for other in ("jq", "goaccess") if other in best)
    print(
        f"{name:<22} {shape:<9} {path.stat().st_size / 1e6:6.0f} MB   why502 {mine.wall_s:6.2f} s "
        f"({mine.cpu_s:6.2f}, {path.stat().st_size / 1e6 / mine.wall_s:5.0f} MB/s)   "
        f"gawk {its.wall_s:6.2f} s ({its.cpu_s:6.2f})   {ratio:6.2f} × (cpu {by_cpu:.2f}){others}",
        flush=True,
    )
    return ratio, by_cpu


if __name__ == "__main__":
    main()
