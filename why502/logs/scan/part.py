"""One part of one log, from its bytes to its counts. On any machine, the same bytes give the same counts."""

from __future__ import annotations

from why502.logs import native
from why502.logs.native import layout
from why502.logs.scan.counts import MOST_KEYS, Counts
from why502.logs.scan.line_format import Form
from why502.logs.scan.reading import Reader
from why502.logs.scan.source import open_
from why502.logs.scan.work import Ask, Part, Progress
from why502.logs.window import READ_ERRORS
from why502.model.errors import HostError

_MOST_READERS = 8  # compiled ones at a time, each with its own memory
_ALL = 1 << 40


class Session:
    """Reads one part after the other into one sum. Each thread has its own; their sums are added up by `absorb`."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.counts = Counts(is_exact=ask.is_exact)
        self._compiled: dict[Form, native.Reader | None] = {}

    def read(self, part: Part, progress: Progress = lambda _: None) -> tuple[int, int, str]:
        """Read a part. Return how many lines it has, how many were not read, and why its end is missing, or "".

        When `progress` raises KeyboardInterrupt, what was read until then counts, and that it is not all.
        """
        before, unfit, reason = self._lines(), self.counts.unfit, ""
        try:
            with open_(part.path) as stream:
                Reader(self, part, progress).read(stream)
        except KeyboardInterrupt:
            self.counts.is_partial = True
        except HostError as error:
            reason = error.reason
        except READ_ERRORS as error:
            reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else f"damaged or truncated: {error}"
        return self._lines() - before, self.counts.unfit - unfit, reason

    def total(self, most: int = MOST_KEYS) -> Counts:
        """Return the sum. Of what the compiled readers hold: the `most` frequent and failing routes, clients and servers."""
        for form in tuple(self._compiled):
            self._flush(form, most)
        return self.counts

    def absorb(self, other: Session) -> None:
        """Add the sum of another session."""
        self.counts.merge(other.counts)
        self.check()
        for form, its in other._compiled.items():
            mine = self.compiled(form)
            if its is not None and mine is not None:
                mine.absorb(its)

    def compiled(self, form: Form) -> native.Reader | None:
        """Return the compiled reader of such lines, if there is one; it may hold counts of earlier parts."""
        if form not in self._compiled:
            if len(self._compiled) >= _MOST_READERS:
                self._flush(next(iter(self._compiled)), MOST_KEYS)
            self._compiled[form] = _reader(form, self.ask)
        return self._compiled[form]

    def check(self) -> None:
        """Keep within the bounds."""
        self.counts.prune()

    def _flush(self, form: Form, most: int) -> None:
        if (reader := self._compiled.pop(form)) is not None:
            self.counts.merge(reader.counts(_ALL if self.ask.is_exact else most, self.counts))
            self.check()

    def _lines(self) -> int:
        return self.counts.lines + sum(reader.lines() for reader in self._compiled.values() if reader is not None)


def _reader(form: Form, ask: Ask) -> native.Reader | None:
    if not ask.is_fast or native.library() is None or (made := layout.of_form(form)) is None:
        return None
    most = 1 << 31 if ask.is_exact else 0
    try:
        return native.Reader(made, since=ask.since, until=ask.until, only=ask.only, is_exact=ask.is_exact, most=most)
    except native.ReaderError:
        return None
