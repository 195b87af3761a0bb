"""Parses --since and --until: a duration before now, or a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from why502.model.errors import Why502Error
from why502.model.patterns import lazy
from why502.model.times import of_iso

_PART = (
    r"(\d{1,30}(?:\.\d{1,30})?)[ \t]*"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)"
)
_NEXT = lazy(rf"[ \t]*{_PART}(?![a-z])", re.I | re.ASCII)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = timedelta(days=365 * 100)


def moment(text: str, now: datetime, option: str) -> datetime:
    """Return the aware UTC time that a text means: `15m`, `2h`, `3d` before now, `now`, or ISO 8601 (local time without zone).

    Raises Why502Error.
    """
    if text.strip().lower() == "now":
        return now
    if (back := span(text)) is not None:
        return now - back
    if (at := of_iso(text.strip())) is None:
        raise Why502Error(
            f"{option} {text!r} is neither a duration nor a time", "Write it like 15m, 2h, 3d, or 2026-11-21T08:30."
        )
    return at.astimezone(UTC)


def span(text: str) -> timedelta | None:
    """Return the duration that a text means: `90s`, `1h30m`, `20 minutes`, at most 100 years; None if it is not a duration."""
    text = text.strip()
    seconds, place = 0.0, 0
    while match := _NEXT.match(text, place):
        seconds += float(match[1]) * _UNIT_S[match[2][0].lower()]
        place = match.end()
    return timedelta(seconds=min(seconds, _LONGEST.total_seconds())) if place and place == len(text) else None
