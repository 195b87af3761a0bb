"""The formats of gateways other than nginx, on recorded lines (Apache 2.4.71, HAProxy 2.6, Caddy 2.6,
Varnish 7.1) and on such as the documentation shows.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from why502.explanation import pasted
from why502.gateways.apache.logs import httpd as apache
from why502.gateways.haproxy import logs as haproxy
from why502.logs.detect import detect, parse_any
from why502.logs.formats import named
from why502.model.logs import LogRecord, Symptom

LINES: list[dict[str, Any]] = json.loads(Path("tests/data/gateway_lines.json").read_text())
READ = [each for each in LINES if each["reads"]]
FORMATS = sorted({each["format"] for each in READ})


def told(record: LogRecord) -> dict[str, Any]:
    """Return what is compared of a record."""
    found = {
        "symptom": record.symptom,
        "gateway_failure": record.is_gateway_failure,
        "target": str(record.target) if record.target else None,
        "cause": record.causes[0] if record.causes else None,
        **{name: getattr(record, name) or None for name in ("code", "group", "client")},
        **{name: getattr(record, name) for name in ("status", "upstream_status", "errno")},
    }
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("each", LINES, ids=lambda each: each["line"][:60])
def test_a_line(each: dict[str, Any]) -> None:
    record = parse_any(each["line"])
    if each["reads"] is None:
        assert record is None
        return
    assert record is not None
    found = told(record)
    if each["format"] != "apache":
        assert found == each["reads"]
    else:
        assert {name: value for name, value in found.items() if name in ("client", "status")} == {
            name: value for name, value in each["reads"].items() if name in ("client", "status")
        }


@pytest.mark.parametrize("name", FORMATS)
def test_a_line_of_interest_holds_a_mark(name: str) -> None:
    form = named(name)
    assert form is not None
    for each in READ:
        if each["format"] == name and each["reads"].get("symptom"):
            assert any(mark.decode("latin-1") in each["line"] for mark in form.MARKS), each["line"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_log_is_told_apart_by_content(name: str) -> None:
    lines = [each["line"] for each in READ if each["format"] == name]
    assert detect(lines) == name


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "prefix", ["Nov 20 22:43:31 web1 gateway[17108]: ", "2026-11-20T22:43:31.123456789Z stdout F ", "gateway-1  | ", "> "]
)
def test_a_wrapped_line_says_the_same(name: str, prefix: str) -> None:
    for each in READ:
        if each["format"] != name or not each["reads"].get("symptom") or each["line"].startswith(("<", "-", " ", "2026-04-13\t")):
            continue
        bare = parse_any(each["line"])
        wrapped = (pasted.parse_any if prefix == "> " else parse_any)(prefix + each["line"])
        assert bare is not None
        assert wrapped is not None, each["line"]
        assert (wrapped.symptom, wrapped.target, wrapped.status) == (bare.symptom, bare.target, bare.status), each["line"]


def test_the_second_line_of_a_failed_connection_gets_the_reason_of_the_first() -> None:
    first = apache.parse(
        "[Fri Nov 20 22:50:10.981497 2026] [proxy:error] [pid 32468:tid 32515] (111)Connection refused: AH00957: http: attempt to connect to "
        "127.0.0.1:9953 (127.0.0.1:9953) failed"
    )
    second = "[Fri Nov 20 22:50:10.981540 2026] [proxy_http:error] [pid 32468:tid 32515] [client 127.0.0.1:52634] AH01114: HTTP: failed to make connection to backend: 127.0.0.1"
    after = apache.parse(second)
    assert first is not None
    assert after is not None
    stitch = apache.stitcher()
    assert stitch(first) == first
    joined = stitch(after)
    assert (joined.symptom, joined.errno, joined.target, joined.client) == (
        Symptom.CONNECT_REFUSED,
        111,
        first.target,
        "127.0.0.1",
    )
    assert joined.is_repeat
    of_another = apache.parse(second.replace("tid 32515", "tid 9"))
    assert of_another is not None
    other = stitch(of_another)
    assert (other.symptom, other.is_repeat) == (Symptom.CONNECT_FAILED, False)


@pytest.mark.parametrize(
    ("line", "symptom", "errno"),
    [
        ("[Wed May 28 17:00:35 2014] [error] (111)Connection refused: proxy: HTTP: attempt to connect to 127.1.2.3:8080 (127.1.2.3) failed", Symptom.CONNECT_REFUSED, 111),
        ("[Wed May 18 21:03:29 2011] [error] [client 172.20.10.10] (70007)The timeout specified has expired: proxy: error reading status line from remote server app", Symptom.READ_TIMED_OUT, 70007),
        ("The timeout specified has expired: proxy: error reading status line from remote server localhost:8080", Symptom.READ_TIMED_OUT, 70007),
        ("AH01144: No protocol handler was valid for the URL /x (scheme 'ws').", Symptom.MODULE_MISSING, None),
    ],
)  # fmt: skip
def test_older_and_cut_lines_of_apache(line: str, symptom: Symptom, errno: int | None) -> None:
    record = apache.parse(line)
    assert record is not None
    assert (record.symptom, record.errno) == (symptom, errno)


def test_every_state_of_haproxy_has_a_meaning() -> None:
    seen: Counter[str] = Counter()
    for first in "CSPLRIDUKcs-":
        for second in "RQCHDLT-":
            line = f'127.0.0.1:1 [20/Nov/2026:22:43:29.843] web app/a1 0/0/-1/-1/20 503 217 - - {first}{second}-- 1/1/0/0/2 0/0 "GET / HTTP/1.1"'
            record = haproxy.parse(line)
            assert record is not None
            assert record.status == 503
            seen[str(record.symptom)] += 1
    assert len(seen) > 10


ANOTHER = [  # forms that people run and paste beside the default ones
    ("caddy", '03/Feb/2019:07:15:30 +0100 [ERROR 502 /shop] dial tcp 10.4.0.7:3000: connect: connection refused', Symptom.CONNECT_REFUSED, "10.4.0.7:3000"),
    ("caddy", "ERROR http.log.error dial tcp 10.4.0.7:3000: connect: connection refused", Symptom.CONNECT_REFUSED, "10.4.0.7:3000"),
    ("caddy", "http.log.error dial https:: unknown network https", Symptom.TARGET_INVALID, None),
    ("envoy", "2026-11-20T09:00:01.100Z POST /pay HTTP/1.1 503 UF 0 91 2 - - 10.9.0.4:5000 10.9.0.5:443", Symptom.CONNECT_FAILED, None),
    ("envoy", '"GET /pay HTTP/1.1" 503 UO upstream_reset_before_response_started{overflow} - "-" 0 81 0 - "-" "curl" "id" "pay" "-" pay - - -', Symptom.PEER_LIMIT, None),
    ("envoy", '[2026-11-20T09:00:01.100Z] "GET /pay HTTP/2"  503 NR “-” “-” 0 0 1 - “-”', Symptom.ROUTE_MISSING, None),
    ("traefik", "2026-11-20T09:00:01Z DBG service/proxy.go:99 > 502 Bad Gateway | error=dial tcp 10.4.0.7:3000: connect: no route to host", Symptom.HOST_UNREACHABLE, "10.4.0.7:3000"),
    ("caddy", '{"level":"info","ts":1795416673.4,"logger":"http.log.access","msg":"NOP","request":{"remote_ip":"10.1.2.3","remote_port":"36001","client_ip":"10.1.2.3","proto":"HTTP/1.1","method":"GET","host":"other.example","uri":"/"},"bytes_read":0,"duration":0.00001,"size":0,"status":0,"resp_headers":{"Server":["Caddy"]}}', Symptom.ROUTE_MISSING, None),
    ("caddy", '{"level":"info","ts":1795416673.4,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"10.1.2.3","remote_port":"36001","client_ip":"10.1.2.3","proto":"HTTP/1.1","method":"GET","host":"other.example","uri":"/"},"bytes_read":0,"duration":0.00001,"size":0,"status":0,"resp_headers":{"Server":["Caddy"]}}', Symptom.CLIENT_CLOSED, None),
    ("caddy", '{"level":"error","ts":1795416566.9,"logger":"http.log.error.log0","msg":"net/http: HTTP/1.x transport connection broken: unexpected EOF","request":{"method":"GET","host":"shop.example","uri":"/"},"status":502}', Symptom.CLOSED_BEFORE_HEADER, None),
    ("traefik", '127.0.0.1 - - [23/Nov/2026:07:08:19 +0000] "GET / HTTP/1.1" 500 21 "-" "-" 5 "shop@file" "http://127.0.0.1:3000" 1ms', Symptom.GATEWAY_STATUS, "127.0.0.1:3000"),
    ("traefik", '127.0.0.1 - - [23/Nov/2026:07:08:19 +0000] "GET / HTTP/1.1" 500 34 "-" "-" 5 "shop@file" "http://127.0.0.1:3000" 1ms', Symptom.UPSTREAM_STATUS, "127.0.0.1:3000"),
    ("traefik", '2026-11-23T07:02:59Z WRN Health check failed. error="checking HTTP health: received error status code: 404" serviceName=shop@file targetURL=http://127.0.0.1:3000', Symptom.HEALTH_CHECK_STATUS, "127.0.0.1:3000"),
    ("traefik", '{"level":"warn","serviceName":"shop@file","targetURL":"http://10.0.0.7:81","error":"checking HTTP health: HTTP request failed: Get \\"http://10.0.0.7:81/health\\": dial tcp 10.0.0.7:81: connect: connection refused","time":"2026-11-23T07:02:59Z","message":"Health check failed."}', Symptom.CONNECT_REFUSED, "10.0.0.7:81"),
    ("haproxy", "Nov 20 09:00:01 lb haproxy[88]: [WARNING] 323/090001 (88) : Server shop/s1 is DOWN, reason: Layer7 wrong st>", Symptom.HEALTH_CHECK_STATUS, None),
    ("varnish", "-   FetchError     req.body read error: 104 (Connection reset by peer)", Symptom.SEND_FAILED, None),
    ("envoy", '{"response_flags":"UF,URX","response_code":"0","duration":"10004","upstream_host":"10.0.0.7:7600"}', Symptom.CONNECT_TIMED_OUT, "10.0.0.7:7600"),
    ("envoy", '{"response_flags":"UF,URX","response_code":"0","duration":"41","upstream_host":"10.0.0.7:7600"}', Symptom.CONNECT_FAILED, "10.0.0.7:7600"),
    ("apache", "[Fri Nov 20 09:00:01 2026] [error](28)No space left on device: proxy: write to temporary file /tmp/modproxy.tmp.x failed", Symptom.DISK_FULL, None),
    ("apache", "[proxy:error] pid 41:tid 42Permission denied: AH00952: HTTP: error creating fam 2 socket for target app", Symptom.SOCKET_DENIED, None),
    ("apache", "[Fri Nov 20 09:00:01.000001 2026] [proxy:error] [pid 41:tid 42] (97)Address family not supported by protocol: AH00952: HTTP: error creating fam 10 socket", Symptom.SOCKET_DENIED, None),
    ("apache", "[Fri Nov 20 09:00:01.000001 2026] [proxy:error] [pid 41:tid 42] (24)Too many open files: AH00952: HTTP: error creating fam 2 socket", Symptom.FILES_EXHAUSTED, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "line", "symptom", "target"), ANOTHER)
def test_another_form_of_the_same(name: str, line: str, symptom: Symptom, target: str | None) -> None:
    record = parse_any(line)
    assert record is not None
    assert (record.format, record.symptom, str(record.target) if record.target else None) == (name, symptom, target)
    form = named(name)
    assert form is not None
    assert any(mark.decode("latin-1") in line for mark in form.MARKS)


@pytest.mark.parametrize(
    "line", ['10.0.0.1 - - [20/Nov/2026:09:00:01 +0000] "GET / HTTP/1.1" 304 - "-" "curl"', "GET / HTTP/1.1 200 OK then"]
)
def test_no_line_of_envoy(line: str) -> None:
    form = named("envoy")
    assert form is not None
    assert form.parse(line) is None


def test_a_denial_of_modsecurity_is_the_gateways_own_answer_if_its_status_is_a_server_error() -> None:
    line = (
        "[Mon Nov 23 10:23:39.123456 2026] [security2:error] [pid 492:tid 504] [client 127.0.0.1:40000] [client 203.0.113.25] "
        'ModSecurity: Access denied with code {} (phase 2). Pattern match "select" at ARGS:q. [file "/etc/modsecurity/local.conf"] '
        '[line "3"] [id "10001"] [msg "SQL injection"] [hostname "shop.example"] [uri "/"] [unique_id "aS"]'
    )
    found = apache.parse(line.format(503))
    assert found is not None
    assert (found.symptom, found.causes, found.status, found.detail, found.is_gateway_failure) == (
        Symptom.OWN_STATUS, ("denied-by-rule",), 503, "rule 10001 SQL injection", True,
    )  # fmt: skip
    found = apache.parse(line.format(403))
    assert found is not None
    assert (found.symptom, found.causes, found.is_gateway_failure) == (Symptom.DENIED_BY_RULE, ("denied-by-rule",), False)


def test_a_header_that_apache_refuses_is_one_failure_with_the_line_that_its_handler_adds() -> None:
    head = "[Mon Nov 23 11:08:23.652610 2026] [{}:error] [pid 314:tid 314] {}"
    stitch = apache.stitcher()
    first = apache.parse(
        head.format(
            "core",
            "[client 10.0.0.1:43291] AH02429: Response header name 'X-File Name' contains invalid characters, aborting request",
        )
    )
    second = apache.parse(
        head.format(
            "proxy_fcgi",
            "(-102)Unknown error -102: [client 10.0.0.1:43291] AH01075: Error dispatching request to : (passing brigade to output filters)",
        )
    )
    assert first is not None
    assert second is not None
    assert (first.symptom, first.is_repeat) == (Symptom.HEADER_INVALID, False)
    found = [stitch(first), stitch(second)]
    assert [(one.symptom, one.is_repeat) for one in found] == [(Symptom.HEADER_INVALID, False), (Symptom.HEADER_INVALID, True)]
