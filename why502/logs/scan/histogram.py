"""The histogram of all times: 64 buckets per doubling, so the middle of a bucket is at most 1/128 (0.8 %) off."""

from __future__ import annotations

LONGEST_MICROS = (1 << 33) - 1  # 2 hours 23 minutes; longer times are counted as this
ERROR = 1 / 128  # maximum relative error of a bucket's middle


def in_micros(seconds: float) -> int:
    """Return a time in whole microseconds, limited to the range of the histogram."""
    return min(max(round(seconds * 1_000_000), 0), LONGEST_MICROS)


def bucket(micros: int) -> int:
    """Return the bucket of a time in microseconds."""
    if micros < 128:
        return micros
    shift = micros.bit_length() - 7
    return (shift << 6) + (micros >> shift)


def middle(number: int) -> float:
    """Return the middle of a bucket, in microseconds."""
    if number < 128:
        return float(number)
    shift = (number >> 6) - 1
    return (((number & 63) + 64) << shift) + ((1 << shift) - 1) / 2
