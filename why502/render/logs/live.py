"""Logs that are followed: a line of JSON for each interval, schema why502.logs.follow/1, and the tables of a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from why502.logs.scan.rates import Interval, Rates, summed
from why502.redaction import clean, redact
from why502.render.words import safe

SCHEMA = "why502.logs.follow/1"
_FACETS = ("symptoms", "targets", "routes")


def line(interval: Interval, at: datetime, interval_s: float, top: int) -> str:
    """Return one interval as one line of JSON."""
    rates = interval.rates
    found = {
        "schema": SCHEMA,
        "at": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "interval_s": round(interval_s, 3),
        "lines": interval.lines,
        "unparsed": interval.unparsed,
        "requests": rates.requests,
        "failures": rates.failures,
        "intended": rates.intended,
        "statuses": rates.statuses,
        **{name: {clean(redact(key)): count for key, count in _first(rates, name, top)} for name in _FACETS},
        "left_bytes": interval.left_bytes,
        "lost_bytes": interval.lost_bytes,
        "errors": [{"path": clean(path), "error": reason} for path, reason in interval.reasons.items()],
    }
    return json.dumps(found, ensure_ascii=False) + "\n"


def screen(recent: Sequence[Rates], interval: Interval, now: datetime, interval_s: float, top: int) -> RenderableType:
    """Return what a terminal shows: the rates now, and what failed in the last minutes."""
    rates, total = interval.rates, summed(recent)
    share = f"{total.failures / total.requests:.2%}" if total.requests else "-"
    head = Text.assemble(
        (f"{now:%H:%M:%S} UTC", "bold"),
        f"   {rates.requests / interval_s:.1f} requests/s   ",
        (f"{rates.failures / interval_s:.1f} failures/s", "bold red" if rates.failures else ""),
        f"   last {len(recent)} minutes: {total.requests} requests, {total.failures} failures ({share})",
        f", {total.intended} of them intended" if total.intended else "",
        "   q quits",
    )
    table = Table(expand=True, box=None, header_style="bold")
    for name in _FACETS:
        table.add_column(f"failures by {name.removesuffix('s')}", ratio=2, no_wrap=True, overflow="ellipsis")
        table.add_column("", justify="right")
    columns = [list(_first(total, name, top)) for name in _FACETS]
    for row in zip_longest(*columns):
        table.add_row(*(cell for one in row for cell in ((Text(safe(redact(one[0]))), str(one[1])) if one else ("", ""))))
    notes = [Text(f"{safe(path)}: {safe(reason)}", "yellow") for path, reason in interval.reasons.items()]
    if interval.left_bytes:
        notes.append(Text(f"{interval.left_bytes / 1e6:.1f} MB are not read yet", "yellow"))
    if interval.lost_bytes:
        notes.append(
            Text(f"{interval.lost_bytes} bytes were cut off before they were read, and are in no rotated file", "yellow")
        )
    return Group(head, Text(), table, *notes)


def _first(rates: Rates, name: str, top: int) -> list[tuple[str, int]]:
    return list(getattr(rates, name).items())[:top]
