"""What the server asks of the process of a tool, and what comes back. Both cross as JSON."""

from __future__ import annotations

from why502.logs.scan.report import Report
from why502.model.base import Value
from why502.model.finding import Diagnosis
from why502.render.lint.contract import Lint
from why502.session.log_reports import Question


class LintOrder(Value, frozen=True, kw_only=True, tag="lint"):
    """Check configurations. `nginx_version`: "" is the newest. `select`, `ignore`: as the options of `why502 lint`."""

    nginx_version: str = ""
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


class BundleOrder(Value, frozen=True, kw_only=True, tag="bundle"):
    """Diagnose a bundle."""


class LogsOrder(Value, frozen=True, kw_only=True, tag="logs"):
    """Report on logs. `log_format`: as the option of `why502 logs`; "" if it is to be detected."""

    question: Question = Question()
    log_format: str = ""


Order = LintOrder | BundleOrder | LogsOrder


class Content(Value, frozen=True, kw_only=True):
    """One file: its name, which is only shown, and the descriptor to read it from.

    `path`: where it is on this machine, if the server was started with it; "" if a user uploaded it.
    """

    name: str
    descriptor: int
    path: str = ""


class Work(Value, frozen=True, kw_only=True):
    """An order with its files."""

    order: Order
    contents: tuple[Content, ...]

    @property
    def is_foreign(self) -> bool:
        """Return whether no file is this machine's, so that the process needs no rights at all."""
        return not any(content.path for content in self.contents)


class Line(Value, frozen=True, kw_only=True):
    """A line of a configuration. `marks`: the findings in it, as positions in the report's list."""

    number: int
    text: str
    marks: tuple[int, ...] = ()


class Listing(Value, frozen=True, kw_only=True):
    """The lines of a file that have findings, and those around them."""

    file: str
    lines: tuple[Line, ...]
    total: int


class Linted(Value, frozen=True, kw_only=True, tag="linted"):
    """The answer to a LintOrder. `is_cut`: not all marked lines are in `listings`."""

    document: Lint
    listings: tuple[Listing, ...] = ()
    notices: tuple[str, ...] = ()
    is_cut: bool = False


class Diagnosed(Value, frozen=True, kw_only=True, tag="diagnosed"):
    """The answer to a BundleOrder."""

    diagnosis: Diagnosis


class Reported(Value, frozen=True, kw_only=True, tag="reported"):
    """The answer to a LogsOrder."""

    report: Report


class Rejected(Value, frozen=True, kw_only=True, tag="rejected"):
    """There is no answer, because of the input: the two lines of a Why502Error."""

    message: str
    hint: str


class Failed(Value, frozen=True, kw_only=True, tag="failed"):
    """There is no answer, because of an error of ours: the traceback."""

    trace: str


Answer = Linted | Diagnosed | Reported | Rejected | Failed
