"""Env: the environment of a command (streams, clock, machine, terminal), which tests can replace."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, TextIO

from why502.model.errors import Why502Error

if TYPE_CHECKING:
    from why502.host.base import Host
    from why502.render.words import Terminal
    from why502.session.looking import Machine


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


def _stream(stream: TextIO | None, mode: Literal["r", "w"]) -> TextIO:
    """Return a stream, or an empty one if it was closed before we started (`>&-`): Python then gives None."""
    return stream if stream is not None else open(os.devnull, mode, encoding="utf-8")


@dataclass(slots=True)
class Env:
    """The environment of a command. `stdout` receives the result and nothing else."""

    stdin: TextIO = field(default_factory=lambda: _stream(sys.stdin, "r"))
    stdout: TextIO = field(default_factory=lambda: _stream(sys.stdout, "w"))
    stderr: TextIO = field(default_factory=lambda: _stream(sys.stderr, "w"))
    now: Callable[[], datetime] = _now
    host: Callable[[], Host] = _local
    is_quiet: bool = False  # -q: the command prints only its result
    is_verbose: bool = False

    def machine(self) -> Machine:
        """Return the machine that the command runs on. Its path `-` is standard input."""
        from why502.session.looking import Machine

        return Machine(host=self.host, stdin=lambda: self.stdin.buffer)

    def terminal(self, *, quiet: bool = False, verbose: bool = False) -> Terminal:
        """Return the properties of standard output: its width, and colours only on a terminal and without NO_COLOR
        (no-color.org).
        """
        from why502.render.words import Terminal

        is_terminal = self.stdout.isatty()
        width = shutil.get_terminal_size((100, 24)).columns if is_terminal else 100
        colored = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return Terminal(width=max(60, min(width, 140)), is_colored=colored, is_quiet=quiet, is_verbose=verbose)

    def write(self, text: str) -> None:
        """Write the result. Bytes that are not UTF-8 appear as `\\xNN`. Raises Why502Error, BrokenPipeError."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        with self.writing():
            self.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self.stdout.flush()

    def write_bytes(self, data: bytes) -> None:
        """Write a binary result. Raises Why502Error, BrokenPipeError."""
        with self.writing():
            self.stdout.buffer.write(data)
            self.stdout.buffer.flush()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Report why standard output rejects more data (a full disk); what is not yet written is dropped.

        Raises Why502Error, BrokenPipeError.
        """
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError, ValueError):  # otherwise the interpreter would try again at its exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise Why502Error(
                f"standard output: {(error.strerror or str(error)).lower()}", "Free some space, or write the result elsewhere."
            ) from error
