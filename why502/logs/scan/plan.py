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
from why502.model.patterns import lazy

_ENDLESS = 1 << 40
SMALLEST, LARGEST = 8 << 20, 128 << 20
_NUMBERS = lazy(r"\d+")
PARTS = 64  # many small parts, so that all readers finish at about the same time


class Planned(Value, frozen=True, kw_only=True):
    """One file and its parts, or the reason why it cannot be read. `read_bytes`: the stored bytes inside the window."""

    source: Source
    form: Form = Form()
    parts: tuple[Part, ...] = ()
    read_bytes: int = 0
    reason: str = ""


def plan(
    source: Source,
    query: ScanQuery,
    given: Form | None = None,
    known: Collection[tuple[str, str]] = (),
    before: Planned | None = None,
) -> Planned:
    """Return the plan for one file. `known`: see `find`. `before`: of another file, maybe a part of the same log."""
    if source.reason:
        return Planned(source=source, reason=source.reason)
    try:
        with open_(source.path) as stream:
            head = window.head(stream)
            form = _same(before, source.path, head) if before and given is None else None
            form = form or find(head, given, known)
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


def _same(before: Planned, path: str, head: bytes) -> Form | None:
    """Return the form of another file if only numbers in their names differ, and the head begins and ends with requests in it."""
    end = head.rfind(b"\n")
    first, last = head[: head.find(b"\n")], head[head.rfind(b"\n", 0, max(end, 0)) + 1 : max(end, 0)]
    if _NUMBERS.sub("", before.source.path) != _NUMBERS.sub("", path) or not before.form.name:
        return None
    parse = before.form.strict_parser()
    for line in (first, last):
        record = parse(line.decode("utf-8", "surrogateescape").rstrip("\r"))
        if record is None or record.at is None or record.status is None:
            return None
    return before.form


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
