"""The work of reading logs part by part, and the result of each part."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from why502.logs.scan.counts import Counts
from why502.logs.scan.fields import Condition
from why502.logs.scan.line_format import Form
from why502.model.base import Value

Progress = Callable[[int], None]


class Ask(Value, frozen=True, kw_only=True):
    """What is wanted of every line. `since`, `until`: seconds since the epoch, both count. `only`: "", "failures" or "5xx".

    `where`: the conditions that a line must fulfil; `by`: a field whose values are counted, by a name that no table of the report has.
    """

    since: int = -(1 << 60)
    until: int = 1 << 60
    localtime: bytes = b""  # the tzfile(5) that times without zone are in
    only: str = ""
    where: tuple[Condition, ...] = ()
    by: str = ""
    is_exact: bool = False
    is_fast: bool = True  # with the compiled reader, where it loads
    most_held: int = 0  # access lines that are held for the error lines of their requests
    is_summary: bool = False  # for a diagnosis: answers by path, samples of what is held

    @property
    def is_of_fields(self) -> bool:
        """Return whether fields are asked for that the compiled reader does not know."""
        return bool(self.where or self.by)


class Part(Value, frozen=True, kw_only=True):
    """The lines of a file that begin in a range of bytes. Of a compressed one (`end` None) all."""

    path: str
    form: Form
    index: int = 0  # among all parts
    start: int = 0
    end: int | None = None


class Read(NamedTuple):
    """What is told of a part: its lines, those that nobody could read, why its end is missing."""

    number: int  # of the part
    lines: int
    unfit: int
    reason: str


class Result(NamedTuple):
    """The counts of some parts."""

    parts: list[Read]
    counts: Counts
