"""Compares a record with the earlier ones of its stream: one object for each log that is read, or for all logs of one look at the
machine where a product writes of a failure to two of them (`IS_ONE_STREAM` of its module); never one for the whole program.

Parsers hold no state.
"""

from __future__ import annotations

from collections.abc import Callable

from why502.logs import formats
from why502.model.logs import LogRecord

Stitch = Callable[[LogRecord], LogRecord]


class Records:
    """Compares the records of one log with the ones before them, for products that report one failure in several lines.

    `shared`: what the logs of one machine have in common.
    """

    def __init__(self, shared: dict[str, Stitch | None] | None = None) -> None:
        self._stitches: dict[str, Stitch | None] = {}
        self._shared = shared

    def follow(self, record: LogRecord) -> LogRecord:
        """Return the record, corrected by the records before it."""
        name = record.format
        if name not in self._stitches:
            self._stitches[name] = self._begin(name)
        found = self._stitches[name]
        return record if found is None else found(record)

    def _begin(self, name: str) -> Stitch | None:
        if self._shared is None or not name or not getattr(formats.named(name), "IS_ONE_STREAM", False):
            return stitch(name)
        if name not in self._shared:
            self._shared[name] = stitch(name)
        return self._shared[name]


def stitch(name: str) -> Stitch | None:
    """Return the function that compares the records of one stream; None if every line of the format is independent."""
    made: Callable[[], Stitch] | None = getattr(formats.named(name), "stitcher", None) if name else None
    return None if made is None else made()
