"""Finding a window of time in a log: by bisection, over disorder, long lines, holes and compression."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sampled

from why502.logs.window import BLOCK_BYTES, PROBE_BYTES, READ_ERRORS, SLACK_S, begin, blocks, end, head, is_compressed
from why502.model.errors import HostError

START = datetime(2026, 11, 20, tzinfo=UTC)
FORM = "%Y-%m-%dT%H:%M:%S"


def time_of(line: bytes) -> float | None:
    try:
        return datetime.fromisoformat(line[:19].decode()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def line(second: float, text: str = "x" * 60) -> bytes:
    return f"{START + timedelta(seconds=second):{FORM}} {text}\n".encode()


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def read(stream: io.BytesIO, since: float, until: float) -> list[bytes]:
    first, last = START.timestamp() + since, START.timestamp() + until
    start = begin(stream, len(stream.getbuffer()), first, time_of)
    if is_compressed(stream):
        data = b"".join(blocks(stream))
    else:
        last_byte = end(stream, len(stream.getbuffer()), last, time_of)
        stream.seek(start)
        data = stream.read(last_byte - start)
    found = data.splitlines(keepends=True)
    return [each for each in found if (at := time_of(each)) is not None and first <= at <= last]


def test_reads_only_the_window_of_a_large_file() -> None:
    stream = Counting(b"".join(line(second) for second in range(200_000)))
    wanted = [line(second) for second in range(150_000, 150_100)]
    assert read(stream, 150_000, 150_099) == wanted
    assert stream.count < 60 * PROBE_BYTES


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(-int(SLACK_S) // 2, int(SLACK_S) // 2)), max_size=300),
    st.integers(0, 3000),
    st.integers(0, 600),
    st.integers(0, 5),
)
def test_finds_every_line_of_the_window_though_times_are_out_of_order(
    times: list[tuple[int, int]], since: int, length: int, untimed: int
) -> None:
    lines = []
    for second, late in sorted(times):
        lines.append(line(second + late, "y" * 2000))
        lines += [b"  at somewhere.py:12 without a time\n"] * untimed
    found = read(io.BytesIO(b"".join(lines)), since, since + length)
    assert found == [each for each in lines if (at := time_of(each)) and since <= at - START.timestamp() <= since + length]


@pytest.mark.parametrize("filling", [b"z" * 3_000_000 + b"\n", bytes(5 * BLOCK_BYTES), b"no time\n" * 400_000])
def test_lines_behind_much_that_has_no_time_are_read(filling: bytes) -> None:
    """A hole after a truncation, a line of megabytes, a stack trace: lines of the window may stand behind it."""
    before, after = [line(second) for second in range(50)], [line(second) for second in range(50, 100)]
    stream = io.BytesIO(b"".join(before) + b"\n" + filling + b"\n" + b"".join(after))
    assert read(stream, 0, 99) == before + after
    assert read(stream, 60, 69) == after[10:20]


def test_zero_bytes_before_the_lines() -> None:
    stream = io.BytesIO(bytes(5 * BLOCK_BYTES) + b"\n" + b"".join(line(second) for second in range(100)))
    assert len(read(stream, 50, 1000)) == 50


@pytest.mark.parametrize(
    "pack",
    sampled(
        [
            gzip.compress,
            bz2.compress,
            lzma.compress,
            zstandard.compress,
            lambda data: lzma.compress(data[:500]) + lzma.compress(data[500:]),
        ],
        5,
    ),
)
def test_compressed(pack) -> None:  # type: ignore[no-untyped-def]
    data = b"".join(line(second) for second in range(30_000))
    assert read(io.BytesIO(pack(data)), 20_000, 20_009) == [line(second) for second in range(20_000, 20_010)]


@pytest.mark.parametrize(
    "pack", sampled([gzip.compress, bz2.compress, lambda data: lzma.compress(data, preset=0)], 3), ids=["gz", "bz2", "xz"]
)
def test_a_compressed_file_cut_short_is_said(pack) -> None:  # type: ignore[no-untyped-def]

    noise = random.Random(1)
    data = b"".join(line(second, noise.randbytes(300).hex()) for second in range(9000))
    with pytest.raises(READ_ERRORS):
        list(blocks(io.BytesIO(pack(data)[:-2000])))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_lines_before_the_end_of_a_cut_file_are_given(pack: Callable[[bytes], bytes]) -> None:
    noise = random.Random(1)
    data = b"".join(line(second, noise.randbytes(300).hex()) for second in range(3000))
    cut = pack(data)[: -len(pack(data)) // 4]
    found = b""
    with pytest.raises((HostError, *READ_ERRORS)):
        for block in blocks(io.BytesIO(cut), 1 << 22):
            found += block
    assert data.startswith(found) and len(found) > len(data) // 3
    assert head(io.BytesIO(cut), 1 << 22) == found


def test_garbage_behind_a_magic_number() -> None:
    for magic in (b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"):
        with pytest.raises(HostError):
            head(io.BytesIO(magic + b"garbage" * 100))


@pytest.mark.parametrize("has_isal", [True, False])
@pytest.mark.parametrize(
    ("damage", "message"),
    sampled(
        [
            (lambda data: data, ""),
            (lambda data: data + data, ""),
            (lambda data: data + bytes(512), ""),
            (lambda data: data[:-2000], "ended before"),
            (lambda data: data[:-8] + b"abcd" + data[-4:], "CRC check failed"),
            (lambda data: data[:10] + b"\xff" * 30 + data[40:], "damaged"),
            (lambda data: data[:3] + b"\x1f" + data[4:], "damaged"),
        ],
        4,
    ),
)
def test_gzip_gives_the_same_with_isal_and_without(
    damage: Callable[[bytes], bytes], message: str, has_isal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_isal:
        monkeypatch.setitem(sys.modules, "isal.igzip", None)
    data = b"".join(line(second) for second in range(60_000))
    stream = io.BytesIO(damage(gzip.compress(data)))
    found = b""
    try:
        for block in blocks(stream, 1 << 18):
            found += block
    except READ_ERRORS as error:
        assert message and (message == "damaged" or message in str(error))
    else:
        assert not message
    assert message == "damaged" or (data * 2).startswith(found)
    assert message or len(found) >= len(data)


def test_empty() -> None:
    assert head(io.BytesIO()) == b""
    assert begin(io.BytesIO(), 0, 0.0, time_of) == end(io.BytesIO(), 0, 1.0, time_of) == 0
