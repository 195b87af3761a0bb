"""Parses sizes and times in nginx's notation (src/core/ngx_parse.c)."""

from __future__ import annotations

import re
from functools import lru_cache

from why502.model.patterns import lazy
from why502.model.times import whole_number

_SIZE = lazy(r"([0-9]{1,18})([kKmMgG]?)")
_TIME = lazy(
    r"(?:(\d+)y)?(?:(\d+)M)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?(?:(\d+)(?![\w]))?", re.ASCII
)
_SCALES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SECONDS = (31536000.0, 2592000.0, 604800.0, 86400.0, 3600.0, 60.0, 1.0, 0.001, 1.0)


def size(text: str) -> int | None:
    """Return a size in bytes (`4k`, `1m`, `512`); None if nginx would refuse it."""
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _SCALES[match[2].lower()] if match else None


@lru_cache(1 << 10)
def time(text: str) -> float | None:
    """Return a time in seconds (`1m30s`, `500ms`, `30`); None if nginx would refuse it."""
    text = text.replace(" ", "") if len(text) < 64 else ""
    match = _TIME.fullmatch(text) if text else None
    if match is None:
        return None
    return sum(int(number) * scale for number, scale in zip(match.groups(), _SECONDS, strict=True) if number)


number = whole_number
