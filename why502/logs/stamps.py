"""Timestamps at the start of lines, as applications, service managers and the kernel write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from why502.model.patterns import lazy
from why502.model.times import MONTHS, of_epoch, of_parts, zone_of

_CLOCK = r"(?P<h>\d\d):(?P<m>\d\d):(?P<s>\d\d)(?:[.,:](?P<f>\d{1,9}))?"
_ZONE = r"(?: ?(?P<zone>Z\b|UTC\b|GMT\b|[+-]\d\d:?\d\d))?"
_FORMS = tuple(
    lazy(form, re.ASCII)
    for form in (
        # 2026-11-21 00:28:28 +0000 · 2026-11-21T00:22:33,123456+00:00 · 2015-11-09 22:25:15,356 · 2009/11/10 23:00:00
        r"(?<!\d)(?P<Y>\d{4})[-/](?P<M>\d\d)[-/](?P<D>\d\d)[T ]" + _CLOCK + _ZONE,
        # [21-Nov-2026 00:29:48 UTC] · 21/Nov/2026:00:29:48 +0000
        r"(?<!\d)(?P<D>\d\d)[-/](?P<b>[A-Z][a-z]{2})[-/](?P<Y>\d{4})[ :]" + _CLOCK + _ZONE,
        # Sat Nov 21 00:29:12 2026 (asctime(3), dmesg -T, uWSGI)
        r"[A-Z][a-z]{2} (?P<b>[A-Z][a-z]{2}) +(?P<D>\d{1,2}) " + _CLOCK + r" (?P<Y>\d{4})",
        # 11/21/2026 00:22:33.123 (ausearch -i)
        r"(?<!\d)(?P<M>\d\d)/(?P<D>\d\d)/(?P<Y>\d{4}) " + _CLOCK,
    )
)
_EPOCH = lazy(r"audit\((?P<s>\d{9,11})\.(?P<f>\d{1,6}):\d{1,20}\)", re.ASCII)


def find(line: str) -> datetime | None:
    """Return the time in the first 120 characters, or None: aware (UTC) if the line has a zone, otherwise naive."""
    head = line[:120]
    if match := _EPOCH.search(head):
        whole = of_epoch(int(match["s"]))
        return whole and whole + timedelta(seconds=float("0." + match["f"]))
    for form in _FORMS:
        if (match := form.search(head)) is None:
            continue
        part = match.groupdict()
        month = MONTHS.get(part["b"], 0) if part.get("b") else int(part["M"])
        micros = int(((part["f"] or "") + "000000")[:6])
        written = part.get("zone")
        zone = zone_of(written) if written else None
        if written and zone is None:
            continue
        clock = (int(part["h"]), int(part["m"]), int(part["s"]))
        if (at := of_parts(int(part["Y"]), month, int(part["D"]), *clock, micros, zone)) is not None:
            return at
    return None
