"""The lines of a unit or container in the journal, as a log: all of a time window, however many (journalctl(1)).

journalctl is asked for the newest entries first, a page at a time: with --since, that of systemd 252 shows the oldest ones
instead of the newest unless they are asked for in reverse. Many entries have the same time to the microsecond. So the entries
with the oldest time of a page are left to the next one, which goes up to that time, inclusive.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.supervisors.systemd import journal
from why502.supervisors.systemd.journal import Entry

PAGE = 4000  # entries
MOST_BYTES = 64 << 20
PAGE_S = 5.0
PATIENCE_S = 10.0
_FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_PID"
_TAG = lazy(r"[\w./@-]{1,48}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """`text`: the lines, oldest first, with a line feed each. `cut_because`: why older ones are missing; "" where none are."""

    text: str
    cut_because: str = ""


def read(host: Host, match: str, since: datetime, until: datetime, *, is_dated: bool) -> Lines | HostError:
    """Return the lines of the entries that match (`--unit=nginx.service`); the error if not even the newest can be read.

    `is_dated`: before each line are the time, a host and the program, as in `journalctl -o short-iso-precise`; otherwise the
    lines are as they were written.
    """
    newest_first: list[str] = []
    size, end_s, border = 0, time.monotonic() + PATIENCE_S, f"{int(until.timestamp()) + 1}"
    while True:
        page = _page(host, match, f"{int(since.timestamp())}", border)
        if isinstance(page, HostError):
            return _lines(newest_first, f"older lines could not be read: {page.reason}") if newest_first else page
        entries, is_last = page
        oldest = entries[-1].at if entries else None
        taken = entries if is_last else [entry for entry in entries if entry.at != oldest]
        if not taken and not is_last:
            return _lines(newest_first, "more entries have the same time than are read at once: older ones are missing")
        for entry in taken:
            text = "".join(_shown(entry) if is_dated else _plain(entry))
            newest_first.append(text)
            size += len(text)
        if is_last or oldest is None:
            return _lines(newest_first)
        if size > MOST_BYTES or time.monotonic() > end_s:
            return _lines(newest_first, f"only the lines after {oldest:%Y-%m-%d %H:%M:%S} UTC were read")
        micros = round(oldest.timestamp() * 1e6)
        border = f"{micros // 1_000_000}.{micros % 1_000_000:06}"


def _page(host: Host, match: str, since: str, until: str) -> tuple[list[Entry], bool] | HostError:
    """Return the newest entries up to a time, newest first, and whether there are no older ones."""
    argv = ("journalctl", "--no-pager", "--quiet", "--all", "--output=json", f"--output-fields={_FIELDS}", "--reverse", match)
    try:
        found = host.run(*argv, f"--since=@{since}", f"--until=@{until}", f"--lines={PAGE}", timeout_s=PAGE_S)
    except HostError as error:
        return error
    if found.status:
        return HostError(found.stderr.strip()[:200] or f"journalctl exited with status {found.status}")
    whole = found.stdout[: found.stdout.rfind("\n") + 1]  # output beyond the limit of a program is cut
    return list(journal.parse(whole)), len(whole) == len(found.stdout) and whole.count("\n") < PAGE


def _plain(entry: Entry) -> Iterator[str]:
    """Yield the lines of an entry as they were written."""
    yield from (f"{line}\n" for line in entry.message.split("\n"))


def _shown(entry: Entry) -> Iterator[str]:
    """Yield the lines of an entry with time, host and program."""
    tag = entry.identifier if _TAG.fullmatch(entry.identifier) else "-"
    pid = f"[{entry.pid}]" if entry.pid is not None else ""
    head = f"{entry.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}+00:00 - {tag}{pid}: "
    yield from (f"{head}{line}\n" for line in entry.message.split("\n"))


def _lines(newest_first: list[str], cut_because: str = "") -> Lines:
    return Lines(text="".join(reversed(newest_first)), cut_because=cut_because)
