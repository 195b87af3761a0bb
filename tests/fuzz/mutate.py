"""Random changes to texts, and the limits every parser must keep: no exception, one second, 300 MB."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple

from tests.fuzz.targets import EXPECTED, TIMES, Parser

CALL_S = 1.0
GROWTH_BYTES = 300 << 20
LONGEST = 4096
_PIECES = (
    *(b"\0", b"\xff", b"\xc2\xb2", b"\xd9\xa3", b"\xef\xbc\x92", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\n", b"\r\n",
    b"\t", b" " * 50),
    *(b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b"(", b")", b"<", b">", b"%", b"$", b"${", b"#", b";", b":", b", ", b" : ",
    b"=", b"-", b"--", b"|"),
    *(b"9" * 5000, b"9" * 19, b"-1", b"0", b"1e999", b"nan", b"-inf", b"65536", b"2147483648", b"1.1.1.1", b"[::1]:80",
    b"unix:/x:", b"\\x22"),
    *(b"\\u0000", b'{"a":' * 50, b"[" * 50, b'"\\' * 50, b"\x1b[31m", b"upstream: ", b"client: ", b"HTTP/1.1", b"502", b"null",
    b"true", b"\x01\x06\0\1"),
    *TIMES,
)  # fmt: skip


class Broken(NamedTuple):
    """An input that broke a parser's limits, and how."""

    parser: str
    data: bytes
    how: str


def inputs(parser: Parser, rng: random.Random) -> Iterator[bytes]:
    """Yield changed texts endlessly. A text is used a few times before the next one."""
    seeds = parser.seeds
    while True:
        data = rng.choice(seeds)
        if rng.random() < 0.1:
            other = rng.choice(seeds)
            data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
        for _ in range(8):
            data = _changed(data, rng)[:LONGEST]
            yield data


def _changed(data: bytes, rng: random.Random) -> bytes:
    at = int(rng.random() * (len(data) + 1))
    kind = int(rng.random() * 8)
    if kind < 3:
        return data[:at] + _PIECES[int(rng.random() * len(_PIECES))] + data[at:]
    end = at + int(rng.random() ** 3 * 40)
    if kind == 3:
        return data[:at] + data[end:]
    if kind == 4:
        return data[:at] + bytes([int(rng.random() * 256)]) + data[at + 1 :]
    if kind == 5:
        return data[:end] + data[at:end] * int(1 + rng.random() ** 4 * 100) + data[end:]
    if kind == 6:
        return data[:at] + _PIECES[int(rng.random() * len(_PIECES))] + data[end:]
    return data[:at] + rng.randbytes(int(rng.random() * 8)) + data[end:]


class _TooLong(BaseException):
    """The time limit of one call has passed."""


def peak_bytes() -> int:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def run(parser: Parser, seed: int, *, most: int, seconds: float = float("inf")) -> tuple[int, float, list[Broken]]:
    """Return how many inputs were tried, the longest processor time of one, and up to ten that broke the limits."""
    rng = random.Random(f"{parser.name} {seed}")
    broken: list[Broken] = []
    kinds: set[str] = set()
    tried, slowest = 0, 0.0
    before = peak_bytes()
    end = time.monotonic() + seconds

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _TooLong

    handler = signal.signal(signal.SIGVTALRM, stop)
    try:
        for data in inputs(parser, rng):
            if tried >= most or len(broken) >= 10 or (not tried & 15 and time.monotonic() > end):
                break
            tried += 1
            how = ""
            signal.setitimer(signal.ITIMER_VIRTUAL, CALL_S)
            started = time.process_time()
            try:
                parser.call(data)
            except EXPECTED:
                pass
            except _TooLong:
                how = f"longer than {CALL_S:g} s"
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                how = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"[:300]
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            slowest = max(slowest, time.process_time() - started)
            if not tried & 255 and peak_bytes() - before > GROWTH_BYTES:
                how = how or "more than 300 MB"
                before = peak_bytes()
            if how and how.rpartition("(")[2] not in kinds:
                kinds.add(how.rpartition("(")[2])
                broken.append(Broken(parser.name, data, how))
    finally:
        signal.signal(signal.SIGVTALRM, handler)
    return tried, slowest, broken
