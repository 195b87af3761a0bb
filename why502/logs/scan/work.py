"""The work of reading logs part by part, and the result of each part."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from why502.logs.scan.counts import Counts
from why502.logs.scan.fields import Condition
from why502.logs.scan.line_format import Form
from why502.model.base import Value

Progress = Callable[[int], None]


class ScanQuery(Value, frozen=True, kw_only=True):
    """The query for every line. `since`, `until`: seconds since the epoch, both inclusive. `only`: "", "failures" or "5xx".

    `where`: the conditions that a line must meet. `by`: a field whose values are counted; its name differs from every table of
    the report.
    """

    since: int = -(1 << 60)
    until: int = 1 << 60
    localtime: bytes = b""  # the tzfile(5) for times without a zone
    shift_s: int = 0  # is added to such times: the writer took another zone
    near: int = 0  # when the lines arrived, if that is known: it decides between the two readings of a repeated hour
    only: str = ""
    where: tuple[Condition, ...] = ()
    by: str = ""
    is_exact: bool = False
    is_fast: bool = True  # use the compiled reader if it loads
    most_held: int = 0  # maximum number of access lines held for the error lines of their requests
    is_summary: bool = False  # for a diagnosis: responses by path, and samples of the held lines
    has_paths: bool = False  # the compiled reader counts responses by path

    @property
    def is_of_fields(self) -> bool:
        """Return whether the query needs fields that the compiled reader does not have."""
        return bool(self.where or self.by)


class Part(Value, frozen=True, kw_only=True):
    """The lines of a file that start within a byte range. For a compressed file (`end` None): all lines."""

    path: str
    form: Form
    index: int = 0  # among all parts
    start: int = 0
    end: int | None = None


class Read(NamedTuple):
    """The result for a part: its number of lines, the number that could not be parsed, and the reason why its end is missing."""

    number: int  # of the part
    lines: int
    unparsed: int
    reason: str


class Result(NamedTuple):
    """The counts of some parts."""

    parts: list[Read]
    counts: Counts
