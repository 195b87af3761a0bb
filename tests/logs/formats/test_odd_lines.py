"""Lines that products and people write and that were once misread: JSON of HAProxy, quotes in headers, bad requests,
other loggers.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.gateways.caddy import logs as caddy
from why502.gateways.envoy import logs as envoy
from why502.gateways.haproxy import logs as haproxy
from why502.gateways.ingress_nginx import logs as ingress_nginx
from why502.gateways.traefik import logs as traefik
from why502.logs.scan.line_format import find
from why502.logs.scan.message_key import is_request
from why502.model.logs import Symptom

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HAPROXY_JSON = {
    "old timers": '{"time":"04/Mar/2026:05:06:07.250","client_ip":"192.0.2.7","status_code":504,"backend_name":"app","server_name":"s1",'
    '"termination_state":"sH--","http_request":"GET /a HTTP/1.1","Tq":0,"Tw":1,"Tc":2,"Tr":-1,"Tt":5003}',
    "named timers": '{"timestamp":"2026-03-04T05:06:07.250Z","src":"192.0.2.7","status":"504","backend":"app","server":"s1",'
    '"termination_state":"sH","method":"GET","path":"/a","time_request":"0","time_queue":"1","time_connect":"2","time_response":"-1",'
    '"time_active":"5003"}',
    "epoch": '{"time":"1772600767.25","client":"192.0.2.7","http_status":504,"backend_name":"app","server_name":"s1",'
    '"haproxy_termination_state":"sH--","verb":"GET","uri":"/a","Tc":2,"Ta":5003}',
}


@pytest.mark.parametrize("kind", HAPROXY_JSON)
def test_a_json_log_format_of_haproxy_is_an_access_log(kind: str) -> None:
    line = HAPROXY_JSON[kind]
    form = find(f"{line}\n".encode() * 4)
    assert form.name == "haproxy"
    record = form.parser()(line)
    assert record is not None
    assert is_request(record)
    assert record.at is not None
    assert record.at.replace(tzinfo=UTC, microsecond=0) == AT
    assert (record.status, record.group, record.client, record.connect_s, record.duration_s) == (
        504,
        "app/s1",
        "192.0.2.7",
        0.002,
        5.003,
    )
    assert record.request.startswith("GET /a")
    assert record.symptom is Symptom.READ_TIMED_OUT


def test_a_bad_request_of_haproxy_is_no_failure_of_the_gateway() -> None:
    line = '192.0.2.7:1024 [04/Mar/2026:05:06:07.250] fe fe/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>"'
    record = haproxy.parse(line)
    assert record is not None
    assert (record.status, record.symptom, record.is_gateway_failure) == (400, Symptom.CLIENT_BAD_REQUEST, False)


@pytest.mark.parametrize("agent", [r"we\"ird \\agent", r"\\", r"\"", r"a\tb", ""])
def test_an_agent_with_escaped_quotes(agent: str) -> None:
    plain = '192.0.2.7 - - [04/Mar/2026:05:06:07 +0000] "GET /a HTTP/1.1" 200 157 "-" "curl/8.5.0"'
    form = find(f"{plain}\n".encode() * 300)
    line = plain.replace("curl/8.5.0", agent)
    record = form.parser()(line)
    assert record is not None
    assert (record.status, record.client, record.request) == (200, "192.0.2.7", "GET /a HTTP/1.1")
    assert (form.log_format, record.at) != ("", None)


@pytest.mark.parametrize("agent", ["curl/8.5.0", 'we"ird \\agent', '"', '" "', 'a" "b" "c', "-"])
def test_an_agent_with_quotes_that_nobody_escapes(agent: str) -> None:
    common = f'192.0.2.7 - - [04/Mar/2026:05:06:07 +0000] "GET /a HTTP/1.1" 502 11 "-" "{agent}" 7 "web@docker" "http://10.0.0.11:8080" 12ms'
    record = traefik.parse(common)
    assert record is not None
    assert (record.status, str(record.target), record.group, record.duration_s) == (502, "10.0.0.11:8080", "web@docker", 0.012)
    if '" "' in agent:  # then nothing tells where the agent ends
        return
    text = f'[2026-03-04T05:06:07.250Z] "GET /a HTTP/1.1" 503 UF 0 91 12 - "192.0.2.7" "{agent}" "id-1" "www.example.com" "10.0.0.11:8080"'
    record = envoy.parse(text)
    assert record is not None
    assert (record.status, str(record.target), record.server, record.client) == (
        503,
        "10.0.0.11:8080",
        "www.example.com",
        "192.0.2.7",
    )


def test_an_answer_of_envoy_itself_is_no_failure() -> None:
    line = (
        '[2026-03-04T05:06:07.250Z] "GET /a HTTP/1.1" 301 - direct_response - "-" 0 0 0 - "192.0.2.7" "curl" "id-1" "www.example.com" "-" '
        "outbound|80||app - 10.0.0.9:8443 [2001:db8::1]:41234 - default"
    )
    record = envoy.parse(line)
    assert record is not None
    assert (record.symptom, record.is_gateway_failure, record.client) == (None, False, "2001:db8::1")


@pytest.mark.parametrize("request_line", ["", r"\x16\x03\x01", "FOO"])
def test_a_request_that_nobody_could_read_is_one_in_ingress_nginx_too(request_line: str) -> None:
    line = f'192.0.2.7 - - [04/Mar/2026:05:06:07 +0000] "{request_line}" 400 157 "-" "-" 0 0.000 [] [] - - - - 0a1b2c'
    record = ingress_nginx.parse(line)
    assert record is not None
    assert is_request(record)
    assert (record.status, record.at) == (400, AT)


def test_attempts_of_ingress_nginx_after_a_redirect() -> None:
    line = (
        r'192.0.2.7 - - [04/Mar/2026:05:06:07 +0000] "GET /\xC3\xBC HTTP/1.1" 200 157 "-" "-" 60 0.300 [shop-web-80] [] '
        "10.0.0.11:80, 10.0.0.12:80 : 10.0.0.13:80 0, 0 : 157 0.100, 0.100 : 0.100 502, 504 : 200 0a1b2c"
    )
    record = ingress_nginx.parse(line)
    assert record is not None
    assert [(str(one.target), one.status) for one in record.attempts] == [
        ("10.0.0.11:80", 502),
        ("10.0.0.12:80", 504),
        ("10.0.0.13:80", 200),
    ]
    assert (record.request, record.duration_s) == ("GET /ü HTTP/1.1", 0.3)


@pytest.mark.parametrize("logger", ["tls.obtain", "admin", "pki.ca.local", "http.handlers.reverse_proxy.health_checker.active"])
def test_the_other_loggers_of_caddy_are_known(logger: str) -> None:
    record = caddy.parse(f'{{"level":"info","ts":1772600767.25,"logger":"{logger}","msg":"host is up"}}')
    assert record is not None
    assert (record.format, record.symptom, record.at and record.at.replace(microsecond=0)) == ("caddy", None, AT)


def test_only_the_next_access_line_of_the_same_request_repeats_an_error_of_caddy() -> None:
    request = '"request":{"remote_ip":"192.0.2.7","remote_port":"%d","method":"GET","host":"x","uri":"/a","proto":"HTTP/1.1"}'
    error = (
        '{"level":"error","ts":1772600767.2,"logger":"http.log.error","msg":"EOF",' + request + ',"status":502,"duration":0.1}'
    )
    access = (
        '{"level":"error","ts":1772600767.2,"logger":"http.log.access","msg":"handled request",'
        + request
        + ',"status":502,"duration":0.1}'
    )
    stitch = caddy.stitcher()
    found = []
    for line in (error % 1, access % 2, access % 1, access % 1):
        record = caddy.parse(line)
        assert record is not None
        found.append(stitch(record).is_repeat)
    assert found == [False, False, True, False]
