"""One rule for valid times, in every reader; an invalid time or number costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sampled
from yardstick import loops

from tests.logs.scan.summing import count, plain
from why502.gateways.haproxy import config as haproxy
from why502.gateways.nginx.config.parse import parse
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs.log_format import COMBINED
from why502.linter import suppression
from why502.logs import coded, stamps
from why502.logs.scan.line_format import of_format
from why502.logs.scan.work import ScanQuery
from why502.logs.unwrap import unwrap
from why502.model import foreign_json, times
from why502.probing import fastcgi

IMPOSSIBLE = (
    *("30/Feb/2026:10:00:00 +0000", "20/Nov/2026:24:00:00 +0000", "20/Nov/2026:23:59:60 +0000", "01/Jan/0001:00:00:00 +1400"),
    *("31/Dec/9999:23:59:59 -1400", "29/Feb/2026:10:00:00 +0000", "20/Nov/1969:10:00:00 +0000", "20/Nov/2026:10:00:00 +2400"),
)
LINE = '192.0.2.7 - - [{}] "GET / HTTP/1.1" 502 157 "-" "curl"\n'
GOOD = "20/Nov/2026:22:46:40 +0000"


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_an_impossible_time_is_none_in_every_reader(tmp_path: Path, text: str) -> None:
    assert coded.local(text) is None
    record = nginx_access.parse(LINE.format(text))
    assert record is None or record.at is None
    path = tmp_path / "access.log"
    path.write_text(LINE.format(GOOD) + LINE.format(text) + LINE.format(GOOD))
    fast, slow = (count(path, of_format(COMBINED), ScanQuery(is_fast=is_fast)) for is_fast in (True, False))
    assert {**plain(fast), "fields": None} == {**plain(slow), "fields": None}
    assert (fast.lines, fast.unparsed) == (3, 1)


@settings(deadline=None, max_examples=500)
@given(
    st.one_of(
        st.text(max_size=40),
        st.datetimes().map(str),
        st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", fullmatch=True),
    )
)
def test_any_text_is_a_time_within_bounds_or_none(text: str) -> None:
    for found in (times.of_iso(text), stamps.find(text), coded.local(text), unwrap(text + " stdout F x").at):
        assert found is None or times.FIRST_YEAR - 1 <= found.year <= times.LAST_YEAR + 1
        if found is not None and found.tzinfo is not None:
            assert found.astimezone(UTC).timestamp() < times.LAST_S + 2 * 86400


@given(st.text(st.characters(categories=["Nd", "No", "Nl"]), min_size=1, max_size=30))
def test_only_ascii_digits_are_a_number(text: str) -> None:
    assert (times.whole_number(text) is not None) == (text.isascii() and len(text) <= 18)


def test_a_leap_day_without_a_year_is_found() -> None:
    found = unwrap("Feb 29 10:00:00 web nginx[7]: x").at
    assert found is not None
    assert (found.month, found.day) == (2, 29)


def test_json_in_another_encoding_costs_its_own_letters() -> None:
    assert foreign_json.decode(b'{"name":"caf\xe9","pid":7}') == {"name": "caf\ufffd", "pid": 7}
    with pytest.raises(ValueError, match="nested"):
        foreign_json.decode(b'{"a":' * 100_000)


@pytest.mark.parametrize(
    "work",
    sampled(
        [
            lambda: suppression.read({"a": "# why502: ignore " + " " * 131072}),
            lambda: haproxy.load("backend b\n server a 1.1.1.1:80\n" * 8000, "x"),
            lambda: haproxy.load("frontend f\n" + " use_backend b\n bind :80\n acl x hdr(host) a.example\n" * 3000, "x"),
            lambda: haproxy.load(
                "frontend f\n"
                + "".join(f" use_backend b{i} if {{ hdr(host) {i}.example.com }}\n" for i in range(2000))
                + "".join(f"backend b{i}\n server a 1.1.1.1:80\n" for i in range(2000)),
                "x",
            ),
            lambda: haproxy.load("backend b\n server " + "1." * 80_000, "x"),
            lambda: parse(b"content_by_lua_block { " + b"\"'\\" * 43_000, "x"),
            lambda: parse(b"content_by_lua_block { " + b'"\\' * 65_000, "x"),
            lambda: fastcgi.unpack(fastcgi.record(fastcgi.STDOUT, b"") * 16_384),
        ],
        4,
    ),
    ids=["suppression", "backends", "frontend", "both", "server", "quotes", "open quote", "empty records"],
)
def test_128_kib_are_read_at_once(work: Callable[[], object]) -> None:
    """Each takes 200 loops of the yardstick at most; a quadratic one would take more than a thousand."""
    assert loops(work) < 400
