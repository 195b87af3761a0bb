"""One step of following a log: what it returns, and where the requests go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from why502.logs.checkpoint import Checkpoint
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form
from why502.model.logs import LogRecord

TURN_BYTES = 4 << 20  # read of a log at a time


class Sink(Protocol):
    """Takes the requests of an access log one by one, or many at once where the compiled reader counted them."""

    def begin(self, form: Form) -> None:
        """Learn how the lines of the requests that follow are read."""
        ...

    def request(self, record: LogRecord, at: int, line: str) -> None:
        """Take a request that ended in that second."""
        ...

    def requests(self, counts: Counts, lines: bytes) -> bool:
        """Take the requests that the compiled reader counted in these lines. False: they must be given one by one."""
        ...


@dataclass(slots=True)
class Step:
    """What was added since the last checkpoint, and the one that includes it.

    `left_bytes`: what was there and is not read yet.
    """

    added: Counts
    checkpoint: Checkpoint
    left_bytes: int = 0
    is_behind: bool = False  # a turn was not enough to read it
    reason: str = ""  # why the log cannot be read just now
