"""`why502 logs` and gawk compared for each format and shape, in one run on the same files. The worst cell is the headline.

    python bench/logs/matrix.py [--lines 1000000] [--runs 3] [--format NAME…] [--shape NAME…] [--directory DIR]

The logs are written by tests/truth, which shares no code with the reader. gawk counts one status, like the one-liner in many
guides; why502 makes the full report. The commands take turns; the fastest run of each counts. For JSON, jq prints one member of
each line. Needs gawk and jq (Debian packages). A ratio of 2 means that why502 is twice as fast.
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--format", nargs="*", default=list(ORDINARY), choices=sorted(FORMATS))
    parser.add_argument("--shape", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--directory", type=Path)
    asked = parser.parse_args()
    worst = (float("inf"), "")
    print(
        f"{asked.lines} lines, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; why502's and gawk's least wall and "
        "processor time"
    )
    for name in asked.format:
        for shape in asked.shape:
            with tempfile.TemporaryDirectory(prefix="why502-bench-", dir=asked.directory) as directory:
                path = Path(directory) / "access.log"
                clients, paths, failures, targets, order = SHAPES[shape]
                write(
                    path,
                    Shape(
                        format=name,
                        lines=asked.lines,
                        clients=clients,
                        paths=paths,
                        failures=failures,
                        targets=targets,
                        order=order,
                    ),
                )
                commands: dict[str, list[str] | str] = {"why502": [*WHY502, str(path)], "gawk": ["gawk", AWK, str(path)]}
                if "json" in name or name.startswith("cloudflare"):
                    commands["jq"] = ["jq", "-c", ".status", str(path)]
                best = race(commands, asked.runs)
                mine, its = best["why502"], best["gawk"]
                ratio = its.wall_s / mine.wall_s
                worst = min(worst, (ratio, f"{name}, {shape}"))
                jq = f"   jq {best['jq'].wall_s / mine.wall_s:6.1f} ×" if "jq" in best else ""
                print(
                    f"{name:<22} {shape:<9} {path.stat().st_size / 1e6:6.0f} MB   why502 {mine.wall_s:6.2f} s "
                    f"({mine.cpu_s:6.2f}, {path.stat().st_size / 1e6 / mine.wall_s:5.0f} MB/s)   "
                    f"gawk {its.wall_s:6.2f} s ({its.cpu_s:6.2f})   {ratio:6.2f} ×{jq}",
                    flush=True,
                )
    print(f"worst: {worst[0]:.2f} × ({worst[1]})")


if __name__ == "__main__":
    main()
