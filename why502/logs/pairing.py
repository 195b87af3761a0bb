"""Failures that a server tells in two lines of one thread: the second repeats the first.

A format whose lines make such pairs says of each record how (`pairing` in its module); this module, and the compiled reader
(native/src/pairs.rs), find them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from why502.model.logs import LogRecord

_MOST_THREADS = 256  # whose first line is kept


@dataclass(frozen=True, slots=True)
class Pairing:
    """The part of a record in a pair.

    `begins`: another line may repeat it. `within_s`: it repeats one of its thread that is at most so much older, 0 for none.
    `after`: the code of the line that it repeats, for the same client; "": any code but its own. `is_of_client`: such a line may
    repeat it.
    """

    begins: bool = False
    within_s: float = 0.0
    after: str = ""
    is_of_client: bool = False

    @property
    def is_alone(self) -> bool:
        """Return whether no other line affects the record, nor it another."""
        return not self.begins and not self.within_s

    def repeats(self, first: LogRecord, second: LogRecord) -> bool:
        """Return whether the record, `second`, repeats the first."""
        if not self.within_s or first.at is None or second.at is None:
            return False
        is_such = (first.code, first.client) == (self.after, second.client) if self.after else first.code != second.code
        return is_such and 0 <= (second.at - first.at).total_seconds() <= self.within_s


ALONE = Pairing()


class Firsts:
    """The first lines of one log, the newest of each thread. Where a log names no process, that of each client."""

    def __init__(self, pairing: Callable[[LogRecord], Pairing]) -> None:
        self._pairing = pairing
        self._firsts: OrderedDict[tuple[str, str], LogRecord] = OrderedDict()

    def repeated(self, record: LogRecord) -> LogRecord | None:
        """Return the earlier record that a record repeats, if any; keep it if a later one may repeat it."""
        key = (str(record.pid), record.thread) if record.pid is not None else ("", record.client)
        if key == ("", ""):
            return None
        pairing, first = self._pairing(record), self._firsts.get(key)
        if first is not None and pairing.repeats(first, record):
            return first
        if pairing.begins:
            self._firsts[key] = record
            self._firsts.move_to_end(key)
            if len(self._firsts) > _MOST_THREADS:
                self._firsts.popitem(last=False)
        return None
