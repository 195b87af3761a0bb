"""The validity of a certificate (RFC 5280, 4.1): the two times are all that is read.

The ssl module decodes only certificates that it verified, and most proxies verify none of their backends.
"""

from __future__ import annotations

from datetime import UTC, datetime

SEQUENCE, CONTEXT_0, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
FORMATS = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


def validity(der: bytes) -> tuple[datetime, datetime] | None:
    """Return the first and the last moment at which a certificate is valid; None if it is malformed."""
    try:
        _, certificate, _ = _element(der)
        _, rest, _ = _element(certificate)
        kind, _, after = _element(rest)
        if kind == CONTEXT_0:  # the version, which is not written in version 1
            _, _, after = _element(after)
        for _ in range(2):  # the algorithm of the signature, and the issuer
            _, _, after = _element(after)
        kind, times, _ = _element(after)
        if kind != SEQUENCE:
            return None
        first_kind, first, times = _element(times)
        last_kind, last, _ = _element(times)
        return _time(first_kind, first), _time(last_kind, last)
    except (ValueError, KeyError):
        return None


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and content of the first element, and what follows it (X.690, 8.1). Raises ValueError."""
    if len(data) < 2:
        raise ValueError("truncated")
    size, start = data[1], 2
    if size & 0x80:
        start += size & 0x7F
        if not 1 <= size & 0x7F <= 4:
            raise ValueError("a length of an unusual form")
        size = int.from_bytes(data[2:start])
    if start + size > len(data):
        raise ValueError("truncated")
    return data[0], data[start : start + size], data[start + size :]


def _time(kind: int, text: bytes) -> datetime:
    """Return a time. Raises ValueError, KeyError. Two digits of a year mean 1950 to 2049 (RFC 5280, 4.1.2.5.1)."""
    at = datetime.strptime(text.decode("ascii"), FORMATS[kind]).replace(tzinfo=UTC)
    return at.replace(year=at.year - 100) if kind == UTC_TIME and at.year >= 2050 else at
