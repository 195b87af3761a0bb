"""How the lines of a log are read: as the configuration says, else by their content."""

from __future__ import annotations

import pytest

from why502.gateways.nginx.logs.log_format import COMBINED
from why502.logs.line_reader import LineReader, LogInput, line_reader, reader_of_the_rest, sample_lines
from why502.model.errors import HostError

ACCESS = '192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET / HTTP/1.1" 502 1 "-" "curl"'
DOWN = "Server app/a is DOWN, reason: Layer4 connection problem. 0 active and 0 backup servers left."
REFUSED = "connect() failed (111: Connection refused) while connecting to upstream"
ERROR = f"2026/11/20 22:46:40 [error] 7#7: *1 {REFUSED}"


def reader_of(*lines: str, **fields: object) -> LineReader:
    return line_reader(LogInput(path="/x.log", **fields), "".join(f"{line}\n" for line in lines).encode())  # type: ignore[arg-type]


def test_the_configuration_decides_before_the_content() -> None:
    assert reader_of(ERROR, kind="access", format=COMBINED).is_access
    assert not reader_of(ACCESS, kind="error").is_access


def test_the_content_decides_where_the_configuration_does_not() -> None:
    assert reader_of(ACCESS, ACCESS, proxy="").is_access
    assert reader_of(ERROR, ERROR, proxy="").name == "nginx_error"


def test_the_candidate_that_fits_most_lines_is_taken() -> None:
    found = reader_of(ACCESS, ACCESS, candidates=(('$msec "$request"', "default"), (COMBINED, "default")))
    assert (found.is_access, found.format) == (True, COMBINED)


def test_no_reader_repairs_what_pasting_did_to_a_line() -> None:
    quoted = f"> Nov 20 22:46:40 web haproxy[1]: {DOWN}"
    for is_given in (True, False):
        record = reader_of(quoted, is_given=is_given, proxy="").parse(quoted)
        assert record is not None
        assert record.at is None


def test_the_other_lines_of_a_mixed_log_have_a_reader_of_their_own() -> None:
    lines = [ACCESS, ERROR]
    mine = reader_of(ACCESS, ACCESS, ERROR, is_given=True, proxy="")
    other = reader_of_the_rest(mine, lines)
    assert other is not None and other.is_access is not mine.is_access
    assert reader_of_the_rest(mine, [ACCESS] if mine.is_access else [ERROR]) is None


def test_binary_content_is_refused() -> None:
    with pytest.raises(HostError):
        line_reader(LogInput(path="/x", proxy=""), b"\x00\x01\x02\n" * 20)


def test_a_sample_has_no_empty_lines_and_is_short() -> None:
    assert sample_lines(b"a\n\n \nb\n") == ["a", "b"]
    assert len(sample_lines(b"x\n" * 5000)) == 200
