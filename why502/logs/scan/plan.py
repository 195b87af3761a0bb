"""The parts to read of each file. The plan depends only on the files, not on the readers, so the result does too."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import BinaryIO

from why502.logs import window
from why502.logs.lines import Window
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.piped import Piped
from why502.logs.scan.reading import zone
from why502.logs.scan.source import open_
from why502.logs.scan.source_file import Source
from why502.logs.scan.work import Part, ScanQuery
from why502.logs.window import SLACK_S
from why502.model.base import Value
from why502.model.errors import HostError

_ENDLESS = 1 << 40
SMALLEST, LARGEST = 8 << 20, 128 << 20
PARTS = 64  # many small parts, so that all readers finish at about the same time


class Planned(Value, frozen=True, kw_only=True):
    """One file and its parts, or the reason why it cannot be read. `read_bytes`: the stored bytes inside the window."""

    source: Source
    form: Form = Form()
    parts: tuple[Part, ...] = ()
    read_bytes: int = 0
    reason: str = ""


def plan(source: Source, query: ScanQuery, given: Form | None = None, known: Collection[tuple[str, str]] = ()) -> Planned:
    """Return the plan for one file. `known`: see `find`."""
    if source.reason:
        return Planned(source=source, reason=source.reason)
    try:
        with open_(source.path) as stream:
            head = window.head(stream)
            form = find(head, given, known)
            if window.is_compressed(stream) or isinstance(stream, Piped):
                if query.since > 0 and 0 < source.modified_s < query.since - SLACK_S:
                    return Planned(source=source, form=form)
                part = Part(path=source.path, form=form)
                return Planned(source=source, form=form, parts=(part,), read_bytes=source.size_bytes)
            start, end = _range(stream, source.size_bytes, form, query)
    except HostError as error:
        return Planned(source=source, reason=error.reason)
    except window.READ_ERRORS as error:
        message = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
        return Planned(source=source, reason=message)
    size = min(max((end - start) // PARTS, SMALLEST), LARGEST)
    parts = tuple(Part(path=source.path, form=form, start=at, end=min(at + size, end)) for at in range(start, end, size))
    return Planned(source=source, form=form, parts=parts, read_bytes=end - start)


def _range(stream: BinaryIO, size_bytes: int, form: Form, query: ScanQuery) -> tuple[int, int]:
    """Return the bytes that may hold lines of the window, found by bisection; for a file without times, all bytes."""
    if query.since <= 0 and query.until >= _ENDLESS:
        return 0, size_bytes
    parse, when = form.parser(), Window(query.since, query.until, zone(query.localtime))

    def time_of(line: bytes) -> float | None:
        record = parse(line.decode("utf-8", "surrogateescape"))
        return None if record is None or record.at is None else when.seconds(record.at)

    start, end = 0, size_bytes
    if query.since > 0:
        start = window.seek(stream, size_bytes, query.since, time_of)
    if query.until < _ENDLESS:
        end = window.end(stream, size_bytes, query.until, time_of)
    return start, max(start, end)


def by_path(formats: Mapping[str, Form], path: str) -> Form | None:
    """Return the configured form of a log, or of one of its rotated siblings."""
    for known, form in formats.items():
        if path == known or re.fullmatch(re.escape(known) + r"[.-]\d[\w.-]*", path):
            return form
        stem, dot, ending = known.rpartition(".")
        if dot and re.fullmatch(rf"{re.escape(stem)}[.-]\d[\d.T:_-]*\.{re.escape(ending)}[\w.]*", path):
            return form
    return None


def seconds(at: datetime) -> int:
    """Return a time in whole seconds since the epoch."""
    return int(at.timestamp())
