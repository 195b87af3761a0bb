"""Env: what a command sees of the world (streams, clock, machine, terminal), so that tests can put another one in its place."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from why502.host.base import Host
    from why502.render.words import Terminal


class Exit(IntEnum):
    """The exit statuses of every command."""

    HEALTHY = 0
    PROBLEM = 1
    CANNOT = 2
    INTERRUPTED = 130


def _now() -> datetime:
    return datetime.now(UTC)


def _local() -> Host:
    from why502.host.local import LocalHost

    return LocalHost()


@dataclass
class Env:
    """The world of a command. `stdout` takes the result and nothing else."""

    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    now: Callable[[], datetime] = _now
    host: Callable[[], Host] = _local

    def terminal(self, *, quiet: bool = False, verbose: bool = False) -> Terminal:
        """Return what standard output is: its width, and colours only on a terminal and without NO_COLOR (no-color.org)."""
        from why502.render.words import Terminal

        is_terminal = self.stdout.isatty()
        width = shutil.get_terminal_size((100, 24)).columns if is_terminal else 100
        colored = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return Terminal(width=max(60, min(width, 140)), is_colored=colored, is_quiet=quiet, is_verbose=verbose)

    def write(self, text: str) -> None:
        """Write the result; bytes that are no UTF-8 as `\\xNN`."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        self.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self.stdout.flush()
