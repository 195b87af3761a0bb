"""The cost of `why502 lint` on large configurations of every shape.

    python bench/lint.py [SHAPE…] [--size BYTES]

Prints the processor time for each shape of tests/lint/lint_shapes.py at half the size and at the size (2 MB), and their ratio.
Exits with 1 if one takes more than 3 s. The program's modules are compiled before the first run, as in an installation.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lint"))
from lint_shapes import SHAPES, sized

MOST_S = 3.0
FILES = {"haproxy": "haproxy.cfg", "apache": "httpd.conf"}


def main() -> int:
    """Return 1 if a shape takes too long."""
    parser = argparse.ArgumentParser()
    parser.add_argument("shapes", nargs="*", choices=[*SHAPES, []])
    parser.add_argument("--size", type=int, default=2_000_000)
    given = parser.parse_args()
    slow = False
    with tempfile.TemporaryDirectory() as compiled:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        _used_s("servers", 1)
        for name in given.shapes or SHAPES:
            half_s, whole_s = (_used_s(name, size) for size in (given.size // 2, given.size))
            print(f"{name:<22} {half_s:6.2f} s {whole_s:6.2f} s  {whole_s / half_s:4.1f}", flush=True)
            slow |= whole_s > MOST_S
    return int(slow)


def _used_s(name: str, size_bytes: int) -> float:
    """Return the processor time of a run."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, FILES.get(name.split("_")[0], "nginx.conf"))
        file.write_text(sized(SHAPES[name], size_bytes))
        command = (
            sys.executable,
            "-m",
            "why502",
            "lint",
            "--quiet",
            "--nginx-version",
            "newest",
            "--fail-on",
            "never",
            str(file),
        )
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=600)
        after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


if __name__ == "__main__":
    raise SystemExit(main())
