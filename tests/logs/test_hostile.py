"""Whatever stands in a log, there is an answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled import sampled

from why502.explanation import pasted
from why502.gateways.nginx.logs import access as nginx_access
from why502.gateways.nginx.logs import error as nginx_error
from why502.logs.detect import detect, parse_any
from why502.model.base import encode

HEAD = "2026/11/20 22:46:40 [error] 7#7: *1 "
PIECES = st.sampled_from(
    [
        HEAD, "connect() failed", " (111: Connection refused)", " while connecting to upstream", ", client: ::1", ", server: _",
        ', request: "GET / HTTP/1.1"', ', upstream: "http://127.0.0.1:1/"', ', host: "', '"', " in /a:1", "(SSL: error:",
        "FastCGI sent in stderr: ",
        "{", '{"log":"', '"}', "\x1b[31m", "\x00", "\udcff", "%s%n", "<b>", "nginx-1 | ", "Nov 20 22:46:40 a b[1]: ",
        "1.1.1.1 - - ",
        "[20/Nov/2026:22:46:40 +0000] ", '"GET / HTTP/1.1" ', "502 ", "uaddr=", "1.1.1.1:1, ", " : ", "\\x22", "\\u0000",
        "9" * 40, "\r", "\n",
    ]
)  # fmt: skip
ANY = st.one_of(
    st.lists(st.one_of(PIECES, st.text(st.characters(), max_size=8)), max_size=24).map("".join),
    st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.lists(PIECES, max_size=20).map(lambda pieces: HEAD + "".join(pieces)),
)


@given(ANY)
@settings(max_examples=400, deadline=None)
def test_every_line_has_an_answer(line: str) -> None:
    for record in (nginx_error.parse(line), nginx_access.parse(line), parse_any(line)):
        assert record is None or record.format
    assert isinstance(nginx_error.continues(line), bool)
    assert 0.0 <= nginx_error.fits([line]) <= 1.0
    assert 0.0 <= nginx_access.fits([line]) <= 1.0
    pasted.bare(line)
    assert pasted.repaired(line).count("\n") <= line.count("\n")
    detect([line])


@given(st.text(st.sampled_from('$abc_{}"[] :,\\status'), max_size=60), ANY, st.sampled_from(["default", "json", "none"]))
@settings(max_examples=300, deadline=None)
def test_every_log_format_compiles_and_answers(form: str, line: str, escape: str) -> None:
    record = nginx_access.compile(form, escape).parse(line)
    assert record is None or record.format == nginx_access.NAME


@pytest.mark.parametrize(
    "line",
    sampled(
        [
            "a" * 10_000_000,
            HEAD + "(" * 500_000,
            HEAD + " while " * 100_000,
            HEAD + 'x, client: 1, server: s, request: "' + '", request: "' * 50_000,
            HEAD + 'FastCGI sent in stderr: "' + '" while ' * 50_000,
            "1.1.1.1 - " + "- " * 300_000 + "[",
            '"GET /' + "/ HTTP/1.1" * 60_000,
            '{"a":' * 100_000,
            "\x1b[" * 300_000,
            "> " * 300_000,
            "2026/11/20 22:46:40 [emerg] 7#7: x in /etc/nginx/nginx.conf:" + "9" * 6000,
            "2026/11/20 22:46:40 [alert] 7#7: worker process " + "9" * 6000 + " exited on signal 9",
            HEAD.replace("*1", "*" + "9" * 6000),
            '{"status":' + "9" * 6000 + ',"request_time":1e999,"request":"x"}',
            "| " * 300_000,
        ],
        4,
    ),
    ids=range(15),
)
def test_bait_for_regular_expressions(line: str) -> None:
    parse_any(line)
    detect([line])
    pasted.bare(line)
    nginx_access.compile('$a $b $c "$d" [$e] $status').parse(line)


@given(ANY)
@settings(max_examples=200, deadline=None)
def test_what_is_read_can_be_written(line: str) -> None:
    record = nginx_error.parse(line.encode("utf-8", "replace").decode())
    if record is not None:
        assert encode(record)
