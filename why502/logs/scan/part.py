"""One part of one log, from its bytes to its counts. On any machine, the same bytes give the same counts."""

from __future__ import annotations

import atexit
from functools import lru_cache

from why502.logs.scan import kernel
from why502.logs.scan.counts import Counts
from why502.logs.scan.line_format import Form
from why502.logs.scan.reading import Reader
from why502.logs.scan.source import open_
from why502.logs.scan.work import Ask, Crowded, Part, Progress
from why502.logs.window import READ_ERRORS
from why502.model.errors import HostError


class Session:
    """Reads one part after the other into one sum.

    `is_ordered`: the parts are all and in order, so that what is too much may be given up. Else Crowded is raised then.
    """

    def __init__(self, ask: Ask, *, is_ordered: bool = False) -> None:
        self.ask = ask
        self.is_ordered = is_ordered
        self.counts = Counts(is_exact=ask.is_exact)
        self._fast: tuple[Form, kernel.Kernel] | None = None

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

    def total(self) -> Counts:
        """Return the sum."""
        self.flush()
        return self.counts

    def pack(self) -> tuple[Counts, Form | None, bytes]:
        """Return the sum for another session to absorb, what the kernel holds as it stands."""
        return (self.counts, None, b"") if self._fast is None else (self.counts, self._fast[0], self._fast[1].pack())

    def absorb(self, counts: Counts, form: Form | None, packed: bytes) -> None:
        """Add the sum of another session. Raises Crowded."""
        self.counts.merge(counts)
        if form is not None and (fast := self.fast(form)) is not None and not fast.absorb(packed):
            self.flush()
            fast.absorb(packed)
        self.check()

    def fast(self, form: Form) -> kernel.Kernel | None:
        """Return the kernel that reads such lines, if there is one; it may hold counts of earlier parts."""
        if self._fast is not None and self._fast[0] == form:
            return self._fast[1]
        self.flush()
        self._fast = None
        if (found := _kernel(form, self.ask)) is not None:
            found.reset()
            self._fast = form, found
        return found

    def flush(self) -> None:
        """Take over what the kernel holds."""
        if self._fast is not None:
            self.counts.merge(self._fast[1].counts())
            self._fast[1].reset()
            self.check()

    def check(self) -> None:
        """Keep within the bounds. Raises Crowded."""
        if self.is_ordered:
            self.counts.prune()
        elif self.counts.is_crowded or (self._fast is not None and not self.ask.is_exact and self._fast[1].is_crowded()):
            raise Crowded

    def _lines(self) -> int:
        return self.counts.lines + (self._fast[1].lines() if self._fast else 0)


@lru_cache(1)
def _kernel(form: Form, ask: Ask) -> kernel.Kernel | None:
    if (
        not form.log_format
        or not ask.is_fast
        or kernel.program(form.log_format, form.escape) is None
        or not kernel.is_available()
    ):
        return None
    return kernel.Kernel(form.log_format, form.escape, ask.since, ask.until, is_exact=ask.is_exact)


atexit.register(_kernel.cache_clear)  # before the interpreter takes wasmtime's modules apart
