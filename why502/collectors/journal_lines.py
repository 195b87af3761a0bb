"""The lines of a unit or container in the journal, as a log: all of a time window, however many (journalctl(1)).

journalctl is asked for the newest lines first, a page at a time: with --since, that of systemd 252 shows the oldest lines instead
of the newest unless they are asked for in reverse. A page ends with the cursor of its oldest entry, which has the entry's time in
the journal (sd_journal_get_cursor(3)): the next page goes up to that, inclusive.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.times import of_epoch

PAGE_LINES = 4000
MOST_BYTES = 64 << 20
PAGE_S = 5.0
PATIENCE_S = 10.0
_CURSOR = lazy(r"(?m)^-- cursor: \S*?\bt=([0-9a-f]{1,16})\S*\n?\Z")
_LONGEST_TIE = 64  # entries of one microsecond at the border of two pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """`text`: the lines, oldest first, with a line feed each. `cut_because`: why older ones are missing; "" where none are."""

    text: str
    cut_because: str = ""


def read(host: Host, match: str, since: datetime, until: datetime, *, is_dated: bool) -> Lines | HostError:
    """Return the lines of the entries that match (`--unit=nginx.service`); the error if not even the newest can be read.

    `is_dated`: before each line are the time, the host and the program, as in `journalctl -o short-iso-precise`; otherwise the
    lines are as they were written.
    """
    newest_first: list[str] = []
    size, end_s, border = 0, time.monotonic() + PATIENCE_S, f"--until=@{int(until.timestamp()) + 1}"
    while True:
        page = _page(host, match, f"--since=@{int(since.timestamp())}", border, is_dated=is_dated)
        if isinstance(page, HostError):
            return _lines(newest_first, f"older lines could not be read: {page.reason}") if newest_first else page
        lines, oldest_us = page
        fresh = lines[_overlap(newest_first, lines) :]
        newest_first += fresh
        size += sum(map(len, fresh))
        if oldest_us is None or not fresh:
            return _lines(newest_first)
        if size > MOST_BYTES or time.monotonic() > end_s:
            return _lines(newest_first, f"only the lines since {of_epoch(oldest_us / 1e6):%Y-%m-%d %H:%M:%S} UTC were read")
        border = f"--until=@{oldest_us // 1_000_000}.{oldest_us % 1_000_000:06}"


def _page(host: Host, match: str, since: str, until: str, *, is_dated: bool) -> tuple[list[str], int | None] | HostError:
    """Return the newest lines up to a time, newest first, and the time of the oldest entry in microseconds since the epoch.

    The time is None where there are no older entries.
    """
    form = "short-iso-precise" if is_dated else "cat"
    argv = ("journalctl", "--no-pager", "--quiet", f"--output={form}", "--reverse", "--show-cursor", match, since, until)
    try:
        found = host.run(*argv, f"--lines={PAGE_LINES}", timeout_s=PAGE_S)
    except HostError as error:
        return error
    if found.status:
        return HostError(found.stderr.strip()[:200] or f"journalctl exited with status {found.status}")
    cursor = _CURSOR.search(found.stdout)
    text = found.stdout[: cursor.start()] if cursor else found.stdout
    lines = text[: text.rfind("\n") + 1].splitlines(keepends=True)  # output beyond the limit of a program is cut
    return lines, int(cursor[1], 16) if cursor and len(lines) >= PAGE_LINES else None


def _overlap(newer: list[str], older: list[str]) -> int:
    """Return how many of the first lines of a page are the last ones before it."""
    most = min(_LONGEST_TIE, len(newer), len(older))
    return next((count for count in range(most, 0, -1) if newer[-count:] == older[:count]), 0)


def _lines(newest_first: list[str], cut_because: str = "") -> Lines:
    return Lines(text="".join(reversed(newest_first)), cut_because=cut_because)
