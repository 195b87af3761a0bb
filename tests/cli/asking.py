"""Runs why502 command lines: in this process with captured streams, or as a program."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from why502.cli.env import Env
from why502.cli.main import run

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PROGRAM = (sys.executable, "-m", "why502")
TWO_LINES = re.compile(r"why502: \S[^\n]*\n\S[^\n]*\n")


class Answer(NamedTuple):
    """The result of a command line."""

    status: int
    out: str
    err: str


def ask(*argv: str, stdin: bytes = b"", now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Answer:
    """Run a command line in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", write_through=True) for data in (stdin, b"", b"")]
    status = run(list(argv), Env(stdin=streams[0], stdout=streams[1], stderr=streams[2], now=now))
    out, err = (stream.buffer.getvalue().decode() for stream in streams[1:])
    return Answer(status, out, err)


def run_program(*argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the program, without a terminal."""
    given = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run([*PROGRAM, *argv], check=False, **given)


def environment(**changes: str) -> dict[str, str]:
    """Return our environment without the variables that control colours, and with changes."""
    return {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")} | changes
