"""Access lines by their log_format, and by guess."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.gateways.nginx.logs.access import compile, fits, parse
from why502.gateways.nginx.logs.log_format import COMBINED, MAIN
from why502.model.logs import Attempt, LogRecord, Symptom
from why502.model.target import Target

WITH_UPSTREAM = (
    COMBINED + " rt=$request_time uaddr=$upstream_addr us=$upstream_status "
    "uct=$upstream_connect_time uht=$upstream_header_time urt=$upstream_response_time"
)
START = '192.0.2.7 - - [20/Nov/2026:22:46:40 +0100] "GET /x HTTP/1.1" '
AGENT = ' 157 "-" "curl/7.88"'
FIRST, SECOND = Target(host="10.0.0.1", port=80), Target(path="/run/a.sock")


def read(line: str, form: str = WITH_UPSTREAM, escape: str = "default") -> LogRecord:
    record = compile(form, escape).parse(line)
    assert record is not None
    return record


def test_combined() -> None:
    record = read(START + "502" + AGENT, COMBINED)
    assert record.at == datetime(2026, 11, 20, 21, 46, 40, tzinfo=UTC)
    assert (record.status, record.client, record.request, record.bytes_sent) == (502, "192.0.2.7", "GET /x HTTP/1.1", 157)
    assert (record.symptom, record.is_gateway_failure, record.proxy) == (Symptom.GATEWAY_STATUS, True, "nginx")
    assert read(START + "502" + AGENT + ' "-"', MAIN).status == 502
    assert compile(COMBINED).parse(START + "502" + AGENT + ' "-"') is None


def test_every_attempt() -> None:
    record = read(
        START
        + "200"
        + AGENT
        + " rt=0.031 uaddr=10.0.0.1:80, unix:/run/a.sock : 10.0.0.1:80 us=502, 504 : 200 uct=-, 0.001 : 0.000 uht=-, - : 0.002 urt=0.001, 0.020 : 0.010"
    )
    assert record.attempts == (
        Attempt(target=FIRST, status=502, response_s=0.001),
        Attempt(target=SECOND, status=504, connect_s=0.001, response_s=0.02),
        Attempt(target=FIRST, status=200, connect_s=0.0, header_s=0.002, response_s=0.01),
    )
    assert (record.target, record.upstream_status, record.duration_s) == (FIRST, 200, 0.031)
    assert not record.is_gateway_failure


@pytest.mark.parametrize(
    ("status", "upstream", "symptom", "is_failure"),
    [
        ("502", "uaddr=10.0.0.1:80 us=502 uct=- uht=- urt=0.001", Symptom.GATEWAY_STATUS, True),
        ("502", "uaddr=10.0.0.1:80 us=502 uct=0.000 uht=0.001 urt=0.001", Symptom.UPSTREAM_STATUS, True),
        ("503", "uaddr=10.0.0.1:80 us=503 uct=0.000 uht=0.001 urt=0.001", Symptom.UPSTREAM_STATUS, True),
        ("503", "uaddr=- us=- uct=- uht=- urt=-", Symptom.OWN_STATUS, True),
        ("504", "uaddr=10.0.0.1:80 us=504 uct=0.000 uht=- urt=60.001", Symptom.GATEWAY_STATUS, True),
        ("499", "uaddr=10.0.0.1:80 us=- uct=0.000 uht=- urt=3.001", Symptom.CLIENT_CLOSED, True),
        ("009", "uaddr=10.0.0.1:80 us=200 uct=0.000 uht=0.000 urt=0.001", Symptom.NO_STATUS_LINE, True),
        ("000", "uaddr=10.0.0.1:80 us=- uct=0.000 uht=- urt=3.001", Symptom.GATEWAY_STATUS, True),
        ("500", "uaddr= us=- uct=- uht=- urt=0.000", Symptom.GATEWAY_STATUS, True),
        ("500", "uaddr=10.0.0.1:80 us=500 uct=0.000 uht=0.001 urt=0.001", Symptom.UPSTREAM_STATUS, False),
        ("404", "uaddr=10.0.0.1:80 us=502 uct=- uht=- urt=0.000", Symptom.GATEWAY_STATUS, True),
        ("404", "uaddr=10.0.0.1:80 us=404 uct=0.000 uht=0.001 urt=0.001", None, False),
        ("200", "uaddr=10.0.0.1:80 us=200 uct=0.000 uht=0.001 urt=0.001", None, False),
        ("413", "uaddr=- us=- uct=- uht=- urt=-", Symptom.REQUEST_TOO_LARGE, False),
    ],
)
def test_what_a_status_stands_for(status: str, upstream: str, symptom: Symptom | None, is_failure: bool) -> None:
    record = read(f"{START}{status}{AGENT} rt=0.001 {upstream}")
    assert (record.status, record.symptom, record.is_gateway_failure) == (int(status), symptom, is_failure)


def test_no_live_upstreams_logs_the_group() -> None:
    record = read(START + "502" + AGENT + " rt=0.000 uaddr=backend us=502 uct=- uht=- urt=0.000")
    assert (record.target, record.group, record.upstream_status) == (None, "backend", 502)


def test_escapes() -> None:
    assert read('"a\\x22b\\xC3\\xA9\\x5C" 502', '"$request" $status').request == 'a"bé\\'
    assert read('"a\\"b\\u001fé\\n" 502', '"$request" $status', "json").request == 'a"b\x1fé\n'
    assert read('"a"b\\x22" 502', '"$request" $status', "none").request == 'a"b\\x22'


def test_names_with_spaces_and_braces() -> None:
    form = "${remote_addr}|$remote_user|[$time_iso8601]|$request_method $scheme://$host$request_uri|$status|$request_time"
    record = read("::1|john doe|[2026-11-20T22:46:40+01:00]|GET http://shop.example/a b|502|0.010", form)
    assert record.at == datetime(2026, 11, 20, 21, 46, 40, tzinfo=UTC)
    assert (record.client, record.status, record.duration_s) == ("::1", 502, 0.01)


def test_json_by_template() -> None:
    form = '{"ts":"$msec","req":{"line":"$request","took":$request_time},"code":"$status","to":"$upstream_addr","us":"$upstream_status","n":$body_bytes_sent}'
    line = '{"ts":"1795128400.250","req":{"line":"GET /\\"q\\" HTTP/1.1","took":0.010},"code":"502","to":"10.0.0.1:80","us":"502","n":157}'
    record = read(line, form, "json")
    assert record.at == datetime(2026, 11, 19, 22, 46, 40, 250000, tzinfo=UTC)
    assert (record.status, record.target, record.request, record.duration_s, record.bytes_sent) == (
        502,
        FIRST,
        'GET /"q" HTTP/1.1',
        0.01,
        157,
    )
    broken = line.replace("0.010", "").replace('\\"', "\\x22")  # what escape=default or an empty number makes of it
    assert read(broken, form).status == 502


def test_a_line_of_another_format_is_none() -> None:
    assert compile(WITH_UPSTREAM).parse("nonsense") is None
    assert compile('{"status":"$status"}', "json").parse('{"other":1}') is None
    assert compile('{"status":"$status"}', "json").parse("[1]") is None


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (START + "502" + AGENT, 502),
        (START + "502 157", 502),
        ("shop.example:80 " + START + "504" + AGENT, 504),
        (START + "502" + AGENT + ' rt=0.001 uct="-" uht="-" urt="0.001" uaddr="10.0.0.1:80" us="502"', 502),
        (START + "502" + AGENT + " 0.001 0.001 10.0.0.1:80 502 .", 502),
        ('[22:46:40 +0000]|| "GET /x HTTP/2.0"|| 502|| 150|| 0.001|| 10.0.0.1:80|| 502', 502),
        ('{"time_local":"20/Nov/2026:22:46:40 +0100","request":"GET / HTTP/1.1","status":"502","upstream_addr":"10.0.0.1:80","body_bytes_sent":"1"}', 502),
        ('{"remote_addr":"::1","request_method":"GET","request_uri":"/x","status":009,"request_time":,"upstream_addr":"10.0.0.1:80"}', 9),
    ],
)  # fmt: skip
def test_guessing(line: str, status: int) -> None:
    record = parse(line)
    assert record is not None
    assert record.status == status
    if "10.0.0.1:80" in line:
        assert record.target == FIRST
    assert fits([line]) > 0.3


def test_only_what_nginx_alone_writes_is_called_nginx() -> None:
    plain, gone = parse(START + "502" + AGENT), parse(START + "499" + AGENT)
    assert plain
    assert gone
    assert (plain.proxy, gone.proxy) == (None, "nginx")
    assert fits([START + "499" + AGENT]) > fits([START + "502" + AGENT])


@pytest.mark.parametrize(
    "line", ["", "hello", "{}", "[]", '{"log":"x"}', "2026/11/20 22:46:40 [error] 1#1: x", '"GET / HTTP/1.1"']
)
def test_lines_of_others(line: str) -> None:
    assert parse(line) is None
    assert fits([line]) == 0.0


def test_objects_in_json() -> None:
    line = (
        '{"ts":"2026-11-20T21:46:40+00:00","req":"GET /x HTTP/1.1","status":"502","duration":0.1,'
        '"upstream":{"addr":"10.0.0.1:80","status":"502","time":"0.100","connect":"-","header":"-"}}'
    )
    record = parse(line)
    assert record is not None
    assert (record.status, record.request, record.duration_s) == (502, "GET /x HTTP/1.1", 0.1)
    assert record.attempts == (Attempt(target=FIRST, status=502, response_s=0.1),)
