"""Where to begin in a log that is followed: at its end, or a little before a time."""

from __future__ import annotations

import contextlib
import math
import os
from typing import BinaryIO

from why502.logs import window
from why502.logs.lines import Window
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.message_key import is_request
from why502.logs.scan.reading import zone
from why502.logs.window import PROBE_BYTES
from why502.model.errors import HostError

MOST_PARTS = 1000  # of a file with holes
_FIRST_BYTES = 1 << 13  # of a log, which tell whether it has requests


def first_since(stream: BinaryIO, size_bytes: int, since: float, form: Form | None, localtime: bytes) -> int:
    """Return where the lines of a plain file begin that are not older than a time (seconds since the epoch), or a little before.

    The end of the last whole line if no time can be read. Raises OSError, HostError.
    """
    parse = find(window.head(stream), form).parser()
    when = Window(-math.inf, math.inf, zone(localtime))

    def time_of(line: bytes) -> float | None:
        record = parse(line.decode("utf-8", "surrogateescape"))
        return None if record is None or record.at is None else when.seconds(record.at)

    low = 0
    for start in _filled(stream, size_bytes)[1:]:
        first = window.first_time(os.pread(stream.fileno(), PROBE_BYTES, start), time_of)
        if first is None or first >= since - window.SLACK_S:
            break
        low = start
    found = window.seek(stream, size_bytes, since, time_of, low)
    if found or size_bytes <= PROBE_BYTES:
        return found
    is_timed = window.first_time(os.pread(stream.fileno(), PROBE_BYTES, 0), time_of) is not None
    return 0 if is_timed else end_of_lines(stream, size_bytes)


def has_requests(stream: BinaryIO, form: Form | None) -> bool:
    """Return whether most of the first lines that can be read are requests."""
    try:
        head = window.head(stream, _FIRST_BYTES)
    except (HostError, *window.READ_ERRORS):
        return False
    lines = head.decode("utf-8", "surrogateescape").split("\n")[:-1]
    parse = find(head, form).parser() if lines else None
    found = [is_request(record) for line in lines if parse is not None and (record := parse(line.rstrip("\r"))) is not None]
    return 2 * sum(found) > len(found)


def end_of_lines(stream: BinaryIO, size_bytes: int) -> int:
    """Return where the last whole line ends."""
    while size_bytes:
        begin = max(size_bytes - PROBE_BYTES, 0)
        if (found := os.pread(stream.fileno(), size_bytes - begin, begin).rfind(b"\n")) >= 0:
            return begin + found + 1
        size_bytes = begin
    return 0


def _filled(stream: BinaryIO, size_bytes: int) -> list[int]:
    """Return where the parts of a file begin that are not holes, at most MOST_PARTS: lseek(2)."""
    found: list[int] = []
    at = 0
    with contextlib.suppress(OSError):  # ENXIO: nothing follows
        while at < size_bytes and len(found) < MOST_PARTS:
            found.append(os.lseek(stream.fileno(), at, os.SEEK_DATA))
            at = os.lseek(stream.fileno(), found[-1], os.SEEK_HOLE)
    return found
