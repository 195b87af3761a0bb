"""Parses times from untrusted sources (logs, files, responses) by one rule. Anything else is None.

A valid time has a real calendar day in the years 1970 to 9998, a time of day from 00:00:00 to 23:59:59, and a zone less than a
day from UTC. Years 1 and 9999 are excluded so that every later calculation (a window, another zone) fits into `datetime`. The
compiled log reader has the same rule (`moment` in values.rs).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

from why502.model.patterns import lazy

FIRST_YEAR, LAST_YEAR = 1970, 9998
LAST_S = 253370764799  # 9998-12-31T23:59:59Z
MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_LONGEST = 64  # maximum characters of a time
_FRACTION = lazy(r"[.,]([0-9]{1,6})[0-9]*")
_ZONE = lazy(r"([+-])([0-9]{2}):?([0-9]{2})")


def of_parts(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, micros: int = 0, zone: tzinfo | None = None
) -> datetime | None:
    """Return the time: in UTC if a zone is given, else naive; None for an impossible one, such as 30 February or 24:00:00."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        at = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)
    except (ValueError, OverflowError):
        return None
    return at.astimezone(UTC) if zone is not None else at


def of_iso(text: object) -> datetime | None:
    """Return the time of an ISO 8601 text, in UTC if it names a zone, else naive; None for anything else.

    Fractions are truncated to microseconds.
    """
    if not isinstance(text, str) or len(text) > _LONGEST or not text.isascii():
        return None
    try:
        at = datetime.fromisoformat(_FRACTION.sub(r".\1", text, count=1))
    except (ValueError, OverflowError):
        return None
    if not FIRST_YEAR <= at.year <= LAST_YEAR or text[11:13] == "24":  # Python 3.13 accepts it as midnight
        return None
    return at.astimezone(UTC) if at.tzinfo else at


def of_epoch(seconds: object) -> datetime | None:
    """Return the time in UTC, from seconds since 1970; None for zero, negative numbers, NaN, and years out of range."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LAST_S:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def zone_of(text: str) -> timezone | None:
    """Return the zone of `+0100`, `+01:00`, `Z`, `UTC` or `GMT`; None for anything else, including a day or more from UTC."""
    if text in ("Z", "UTC", "GMT"):
        return UTC
    match = _ZONE.fullmatch(text)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def whole_number(text: str | bytes | None, digits: int = 18) -> int | None:
    """Return a whole number written in at most `digits` ASCII digits; None for anything else, such as `²` or `٣`."""
    return int(text) if text and len(text) <= digits and text.isascii() and text.isdigit() else None
