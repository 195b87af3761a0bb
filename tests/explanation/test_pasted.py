"""What pasting did to lines is undone, and what a program wrote stays as it is."""

from __future__ import annotations

import pytest

from why502.explanation.pasted import repaired

DOWN = "Nov 20 22:46:40 web haproxy[1]: Server app/a is DOWN, reason: Layer4 connection problem."
ENTRY = "2026/11/20 22:46:40 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, client: ::1"
ACCESS = '192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET /?a=\\"b\\" HTTP/1.1" 502 1 "-" "curl"'
FIELDS = ', server: _, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "x"'


@pytest.mark.parametrize(
    "mark", ["> ", "> > ", "error.log:12:", "/var/log/nginx/error.log-", "- ", "• ", "22:46:40 ", "1. ", "&gt; "]
)
@pytest.mark.parametrize("line", [ENTRY, DOWN])
def test_marks_before_a_line_are_removed(mark: str, line: str) -> None:
    assert repaired(mark + line) == line


def test_quotation_marks_around_a_line_are_removed() -> None:
    assert repaired(f"`{ENTRY}`") == ENTRY
    assert repaired(f"> “{DOWN}”,") == DOWN


@pytest.mark.parametrize("quote", ["&quot;", '\\"'])
def test_escaped_fields_are_plain_again(quote: str) -> None:
    assert repaired(ENTRY + FIELDS.replace('"', quote)) == ENTRY + FIELDS


@pytest.mark.parametrize(
    "line", [ENTRY, DOWN, ACCESS, f"web-1  | {ENTRY}", '{"log":"request: \\"GET\\""}', "> no format reads this", ""]
)
def test_other_lines_stay(line: str) -> None:
    assert repaired(line) == line


def test_a_line_stays_a_line() -> None:
    assert repaired(f"> {ENTRY}\n\n> {DOWN}\n") == f"{ENTRY}\n\n{DOWN}\n"
