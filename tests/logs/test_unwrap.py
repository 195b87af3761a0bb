"""What stands around a line is taken off, and tells time and program."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from why502.explanation import pasted
from why502.logs.detect import detect, parse_any
from why502.logs.unwrap import unwrap
from why502.model.logs import Symptom

ENTRY = "2026/11/20 22:46:40 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, client: ::1"
BARE = "upstream prematurely closed connection while reading response header from upstream"
AT = datetime(2026, 11, 20, 22, 46, 40, tzinfo=UTC)
ESCAPED = ENTRY.replace('"', '\\"')


@pytest.mark.parametrize(
    ("before", "after", "at", "program"),
    [
        ("Nov 20 22:46:40 web nginx[2130]: ", "", datetime(2026, 11, 20, 22, 46, 40), "nginx"),
        ("<187>Nov 20 22:46:40 web nginx: ", "", datetime(2026, 11, 20, 22, 46, 40), "nginx"),
        ("<187>Nov 20 22:46:40 nginx: ", "", datetime(2026, 11, 20, 22, 46, 40), "nginx"),
        ('<34>1 2026-11-20T22:46:40.003Z web nginx 77 - [a b="c"] ', "", AT.replace(microsecond=3000), "nginx"),
        ("2026-11-20T23:46:40+0100 web nginx[1]: ", "", AT, "nginx"),
        ("2026-11-20T22:46:40.123456789Z ", "", AT.replace(microsecond=123456), ""),
        ("2026-11-20T22:46:40.123456789Z stderr F ", "", AT.replace(microsecond=123456), ""),
        ("2026-11-20 22:46:40 ", "", datetime(2026, 11, 20, 22, 46, 40), ""),
        ("nginx-1  | ", "", None, ""),
        ("    nginx         | nginx.1    | ", "", None, ""),
        ("\x1b[36mnginx-1  |\x1b[0m ", "", None, ""),
        ("[pod/web-5f7/nginx] ", "", None, ""),
        ("/var/log/nginx/error.log:12:", "", None, ""),
        ("error.log.1:", "", None, ""),
        ("> ", "", None, ""),
        ("- `", "`", None, ""),
        ("\ufeff  ", "\r\n", None, ""),
        ('{"log":"', '\\n","stream":"stderr","time":"2026-11-20T22:46:40.123456789Z"}', AT.replace(microsecond=123456), ""),
        (
            '{"MESSAGE":"',
            '","__REALTIME_TIMESTAMP":"1795214800000000","SYSLOG_IDENTIFIER":"nginx"}',
            datetime.fromtimestamp(1795214800, UTC),
            "nginx",
        ),
    ],
)
def test_wrappers(before: str, after: str, at: datetime | None, program: str) -> None:
    inner = pasted.bare(before + ESCAPED + after, date(2026, 11, 21))
    assert (inner.line, inner.at, inner.program) == (ENTRY, at, program)
    record = parse_any(before + BARE + after)
    assert record is not None
    assert record.symptom is Symptom.CLOSED_BEFORE_HEADER
    assert record.at is None if at is None else record.at is not None


def test_wrappers_in_wrappers() -> None:
    inner = unwrap('{"log":"\\u001b[31mnginx-1 | Nov 20 22:46:40 web nginx[7]: ' + ENTRY + '\\n"}', date(2026, 11, 21))
    assert (inner.line, inner.program) == (ENTRY, "nginx")


def test_a_binary_message_of_the_journal() -> None:
    numbers = ",".join(str(byte) for byte in ENTRY.encode() + b"\xff")
    assert unwrap(f'{{"MESSAGE":[{numbers}]}}').line == ENTRY + "\udcff"


def test_the_year_of_a_syslog_time_is_never_in_the_future() -> None:
    assert unwrap("Dec 31 23:59:59 web nginx: x", date(2026, 1, 1)).at == datetime(2025, 12, 31, 23, 59, 59)
    assert unwrap("Feb 30 23:59:59 web nginx: x", date(2026, 3, 1)).at is None


def test_bare_lines_stay() -> None:
    for line in (
        ENTRY,
        BARE,
        "*24 SSL_do_handshake() failed",
        '192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET / HTTP/1.1" 502 1',
    ):
        assert unwrap(line) == pasted.bare(line) == (line, None, "")


def test_an_entry_after_anything() -> None:
    record = parse_any(f"E1119 20:55:56.556156       1 command.go:87] failed to execute nginx -s reload: {ENTRY}")
    assert record is not None
    assert record.at == datetime(2026, 11, 20, 22, 46, 40)


@pytest.mark.parametrize("quote", ["&quot;", '\\"'])
def test_quotes_of_a_paste(quote: str) -> None:
    tail = ', server: _, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "x"'
    record = pasted.parse_any(ENTRY + tail.replace('"', quote))
    assert record is not None
    assert (str(record.target), record.host) == ("127.0.0.1:3001", "x")


def test_detect() -> None:
    assert detect([ENTRY, BARE]) == "nginx_error"
    assert detect([f"nginx-1 | {ENTRY}"]) == "nginx_error"
    assert detect([BARE]) == "nginx_error"
    assert detect(['192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET / HTTP/1.1" 499 1 "-" "-"']) == "nginx_access"
    assert detect([]) == ""
    assert detect(["lorem ipsum", ""]) == ""
