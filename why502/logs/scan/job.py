"""One run of `why502 logs`: its options and its progress."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field

from why502.logs.scan.line_format import Form
from why502.logs.scan.plan import Planned, by_path, plan
from why502.logs.scan.source import expand
from why502.logs.scan.targets import Known
from why502.logs.scan.work import ScanQuery
from why502.model.base import Value


class LogSettings(Value, frozen=True, kw_only=True):
    """Facts from a configuration: `forms` by the path of the log, `known` by target."""

    forms: dict[str, Form] = {}
    known: dict[str, Known] = {}


def _nothing(_: int) -> None:
    pass


@dataclass
class Job:
    """The logs to read and the progress. `is_over`: set it to stop reading immediately. `is_reading`: reading has started."""

    paths: tuple[str, ...]
    query: ScanQuery
    given: Form | None = None
    formats: LogSettings = field(default_factory=LogSettings)
    on_read: Callable[[int], None] = _nothing
    is_over: bool = False
    is_reading: bool = False
    total_bytes: int = 0

    def plans(self) -> list[Planned]:
        """Return the plan of each file."""
        found: list[Planned] = []
        known: set[tuple[str, str]] = set()
        for source in expand(self.paths):
            given = self.given or by_path(self.formats.forms, posixpath.abspath(source.path))
            found.append(plan(source, self.query, given, known, found[-1] if found else None))
            known.add((found[-1].form.log_format, found[-1].form.escape))
        self.total_bytes = sum(planned.read_bytes for planned in found)
        return found
