"""Conditions on fields and tables of any field, in logs of several formats."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampled import sampled
from scan.summing import reported
from truth import COMBINATIONS, Shape, write

from why502.logs.scan import fields
from why502.logs.scan.line_format import Form, find
from why502.logs.scan.work import ScanQuery
from why502.model.errors import Why502Error
from why502.model.logs import LogRecord

COMBINED = '192.0.2.{} - - [04/Mar/2026:05:06:{:02} +0000] "{} /a/{} HTTP/1.1" {} 157 "-" "{}"\n'
LINES = "".join(
    COMBINED.format(number % 3, number, "GET" if number % 4 else "POST", number, 502 if number % 5 == 0 else 200, agent)
    for number in range(60)
    for agent in ("curl/8.5.0", "Mozilla/5.0 (X11)")
)


def asked(*where: str, by: str = "") -> ScanQuery:
    return ScanQuery(where=tuple(map(fields.condition, where)), by=by)


@pytest.mark.parametrize(
    ("where", "requests", "failures"),
    [
        (("status=502",), 24, 24),
        (("status!=502",), 96, 0),
        (("client=192.0.2.1",), 40, 8),
        (("client=192.0.2.1", "method=POST"), 10, 2),
        (("http_user_agent=curl/8.5.0",), 60, 12),
        (("$http_user_agent!=curl/8.5.0", "failed=true"), 12, 12),
        (("path=/a/7",), 2, 0),
        (("route=GET /a/*",), 90, 18),
        (("status=50",), 0, 0),
    ],
)
def test_only_lines_that_fulfil_all_conditions_count(
    tmp_path: Path, where: tuple[str, ...], requests: int, failures: int
) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINES)
    found = reported(path, ask=asked(*where))
    assert (found.requests, found.failures, found.lines, found.unparsed) == (requests, failures, 120, 0)
    assert found.where == tuple(condition.removeprefix("$") for condition in where)


def test_the_values_of_any_field_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINES)
    found = reported(path, ask=asked("method=POST", by="http_user_agent"))
    assert [(row.name, row.requests, row.failures) for row in found.asked] == [
        ("Mozilla/5.0 (X11)", 15, 3),
        ("curl/8.5.0", 15, 3),
    ]
    assert found.requests == 30


@pytest.mark.parametrize("format", sampled([name for name, wrappers in COMBINATIONS.items() if "plain" in wrappers], 9))
def test_every_format_is_counted_by_the_fields_that_all_have(tmp_path: Path, format: str) -> None:
    path = tmp_path / "access.log"
    write(path, Shape(format=format, lines=300, clients=20, paths=5, failures=0.1, targets=3, order="time"))
    whole = reported(path, ask=ScanQuery())
    by_status = {row.name: row.requests for row in reported(path, ask=asked(by="upstream_status")).asked}
    assert sum(by_status.values()) == whole.requests
    for status, count in list(whole.by_status.items())[:3]:
        if status.isdigit() and status != "000":
            assert reported(path, ask=asked(f"status={int(status)}")).requests == count, status


@pytest.mark.parametrize(
    ("name", "line", "value"),
    [
        ("request.headers.User-Agent", '{"status": 200, "request": {"headers": {"User-Agent": ["a", "b"]}}}', "a, b"),
        ("request.host", '{"request.host": "x", "request": {"host": "y"}}', "x"),
        ("tls.version", '{"tls": null}', ""),
        ("size", '{"size": 12}', "12"),
        ("is", '{"is": false}', "false"),
        ("agent", 'time=1 agent="a b" x=2', "a b"),
        ("x", "time=1 agentx=3 x=2", "2"),
        ("ua", "time:1\tua:curl/8\tx:2", "curl/8"),
        ("x", "x=-", ""),
        ("x", '{"x":', ""),
    ],
)
def test_a_field_is_found_by_the_name_that_the_line_gives_it(name: str, line: str, value: str) -> None:
    assert fields.reader(name, Form())(LogRecord(), line) == value


def test_a_field_is_found_within_a_wrapper(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    wrapped = [f"2026-03-04T05:06:07.123456789Z stdout F {line}\n" for line in LINES.splitlines()]
    path.write_text("".join(wrapped))
    assert find(path.read_bytes()).wrapper == "cri"
    found = reported(path, ask=asked("status=502", by="http_user_agent"))
    assert {row.name: row.requests for row in found.asked} == {"curl/8.5.0": 12, "Mozilla/5.0 (X11)": 12}


@given(st.text(max_size=300), st.from_regex(r"[\w@$.-]{1,20}", fullmatch=True))
def test_no_line_breaks_the_reading_of_a_field(line: str, name: str) -> None:
    assert len(fields.reader(name, Form())(LogRecord(), line)) <= fields.LONGEST


@given(
    st.sampled_from(LINES.splitlines()), st.sampled_from(["status", "client", "path", "method", "http_user_agent", "request_id"])
)
def test_a_line_without_the_needle_never_has_the_value(line: str, name: str) -> None:
    form = find(LINES.encode())
    record = form.parser()(line)
    assert record is not None
    value = fields.reader(name, form)(record, line)
    assert fields.Condition(field=name, value=value).needle(form) in line.encode()


@pytest.mark.parametrize("text", ["status", "=502", "a b=1", "x" * 101 + "=1", ""])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(Why502Error, match="is not a condition"):
        fields.condition(text)


def test_conditions_and_field_survive_a_trip_to_another_machine() -> None:
    ask = asked("status=502", "client!=1.2.3.4", by="http_host")
    assert msgspec.json.decode(msgspec.json.encode(ask), type=ScanQuery) == ask
