"""Compares a record with the earlier ones of its stream: one object for each log that is read, never one for the whole program.

Parsers hold no state.
"""

from __future__ import annotations

from collections.abc import Callable

from why502.logs import detect
from why502.model.logs import LogRecord

Stitch = Callable[[LogRecord], LogRecord]


class Records:
    """Compares the records of one log with the ones before them, for products that report one failure in several lines."""

    def __init__(self) -> None:
        self._stitches: dict[str, Stitch | None] = {}

    def follow(self, record: LogRecord) -> LogRecord:
        """Return the record, corrected by the records before it."""
        name = record.format
        if name not in self._stitches:
            self._stitches[name] = stitch(name)
        found = self._stitches[name]
        return record if found is None else found(record)


def stitch(name: str) -> Stitch | None:
    """Return the function that compares the records of one stream; None if every line of the format is independent."""
    made: Callable[[], Stitch] | None = getattr(detect.named(name), "stitcher", None) if name else None
    return None if made is None else made()
