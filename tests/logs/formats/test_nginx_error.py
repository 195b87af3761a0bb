"""The fields of the nginx error log, whole, cut, wrapped, and as people paste them."""

from __future__ import annotations

from datetime import datetime

import pytest

from why502.gateways.nginx.logs import error as nginx_error
from why502.gateways.nginx.logs.error import continues, fits, parse
from why502.model.logs import LogRecord, Phase, Symptom
from why502.model.target import Target

HEAD = "2026/11/20 22:46:40 [error] 24569#24570: *17 "
REFUSED = "connect() failed (111: Connection refused) while connecting to upstream"
FIELDS = ', client: 192.0.2.7, server: shop.example, request: "GET /cart?id=1 HTTP/1.1", upstream: "http://127.0.0.1:3001/cart?id=1", host: "shop.example", referrer: "https://shop.example/"'


def read(line: str) -> LogRecord:
    record = parse(line)
    assert record is not None
    return record


def test_a_whole_line() -> None:
    record = read(HEAD + REFUSED + FIELDS + "\r\n")
    assert record.format == nginx_error.NAME
    assert record.proxy == "nginx"
    assert record.at == datetime(2026, 11, 20, 22, 46, 40)
    assert (record.level, record.pid, record.connection, record.errno) == ("error", 24569, 17, 111)
    assert record.message == "connect() failed"
    assert (record.action, record.phase, record.symptom) == ("connecting to upstream", Phase.CONNECT, Symptom.CONNECT_REFUSED)
    assert record.target == Target(host="127.0.0.1", port=3001)
    assert (record.client, record.server, record.request) == ("192.0.2.7", "shop.example", "GET /cart?id=1 HTTP/1.1")
    assert (record.host, record.referrer, record.protocol) == ("shop.example", "https://shop.example/", "http")
    assert (record.status, record.is_gateway_failure) == (502, True)


def test_quotes_in_values_are_not_escaped() -> None:
    tail = ', client: ::1, server: _, request: "GET /a"b", x HTTP/1.1", upstream: "http://[::1]:80/a"b", x", host: "a"b", referrer: "he said "no""'
    record = read(HEAD + REFUSED + tail)
    assert record.request == 'GET /a"b", x HTTP/1.1'
    assert record.upstream == 'http://[::1]:80/a"b", x'
    assert record.target == Target(host="::1", port=80)
    assert (record.host, record.referrer) == ('a"b', 'he said "no"')


def test_a_request_cannot_forge_the_next_field_after_its_end() -> None:
    tail = ', client: ::1, server: _, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:81/", host: "x", referrer: "", upstream: "http://6.6.6.6:66/""'
    assert read(HEAD + REFUSED + tail).target == Target(host="127.0.0.1", port=81)


@pytest.mark.parametrize("end", range(len(HEAD), len(HEAD + REFUSED + FIELDS)))
def test_a_line_cut_anywhere_never_names_another_target(end: int) -> None:
    record = parse((HEAD + REFUSED + FIELDS)[:end])
    assert record is not None
    assert record.target in (None, Target(host="127.0.0.1", port=3001))
    if end > len(HEAD + REFUSED) - len("upstream"):
        assert record.symptom is Symptom.CONNECT_REFUSED


@pytest.mark.parametrize(
    ("upstream", "target", "protocol"),
    [
        ("http://unix:/run/a.sock:/x:y", Target(path="/run/a.sock"), "http"),
        ("uwsgi://unix:///srv/a.sock:", Target(path="/srv/a.sock"), "uwsgi"),
        ("fastcgi://127.0.0.1:9000", Target(host="127.0.0.1", port=9000), "fastcgi"),
        ("https://[2001:db8::1]:443/", Target(host="2001:db8::1", port=443), "https"),
        ("passenger:/tmp/p/request:", Target(path="/tmp/p/request"), "passenger"),
        ("10.0.0.5:3306", Target(host="10.0.0.5", port=3306), ""),
        ("<ip address>", None, ""),
    ],
)
def test_upstreams(upstream: str, target: Target | None, protocol: str) -> None:
    record = read(f'{HEAD}{REFUSED}, client: ::1, server: _, request: "GET / HTTP/1.1", upstream: "{upstream}", host: "x"')
    assert (record.target, record.protocol) == (target, protocol)


def test_no_live_upstreams_names_the_group() -> None:
    record = read(
        HEAD
        + 'no live upstreams while connecting to upstream, client: ::1, server: _, request: "GET / HTTP/1.1", upstream: "http://backend/", host: "x"'
    )
    assert (record.target, record.group, record.phase) == (None, "backend", Phase.SELECT)


def test_lines_without_a_request() -> None:
    config = read('2026/11/20 22:46:40 [emerg] 1#1: unknown directive "proxy_pas" in /etc/nginx/conf.d/a.conf:19')
    assert (config.symptom, config.file, config.line, config.phase) == (
        Symptom.CONFIG_INVALID,
        "/etc/nginx/conf.d/a.conf",
        19,
        Phase.CONFIG,
    )
    missing = read('nginx: [emerg] host not found in upstream "app:8000" in /etc/nginx/nginx.conf:2')
    assert (missing.symptom, missing.detail, missing.line) == (Symptom.NAME_NOT_FOUND, "app:8000", 2)
    listen = read("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)")
    assert (listen.symptom, listen.errno, listen.is_gateway_failure) == (Symptom.LISTEN_FAILED, 98, False)
    failed = read("nginx: configuration file /etc/nginx/nginx.conf test failed")
    assert failed.symptom is Symptom.CONFIG_INVALID
    resolver = read(
        "2026/11/20 22:46:40 [error] 1#1: send() failed (111: Connection refused) while resolving, resolver: 127.0.0.53:53"
    )
    assert (resolver.symptom, resolver.phase, resolver.is_gateway_failure) == (Symptom.NAME_SERVER_FAILED, Phase.RESOLVE, False)
    died = read("2026/11/20 22:46:40 [alert] 1#1: worker process 4711 exited on signal 11 (core dumped)")
    assert (died.symptom, died.process_pid, died.detail) == (Symptom.PROXY_WORKER_DIED, 4711, "signal 11")
    reload = read("2026/11/20 22:46:40 [notice] 1#1: signal 1 (SIGHUP) received from 77, reconfiguring")
    assert reload.symptom is Symptom.PROXY_RELOADED


def test_a_stream_line() -> None:
    record = read(
        HEAD
        + 'upstream timed out (110: Connection timed out) while connecting to upstream, client: 192.0.2.7, server: 0.0.0.0:3306, upstream: "10.0.0.5:3306", bytes from/to client:0/0, bytes from/to upstream:0/0'
    )
    assert (record.target, record.status, record.symptom) == (Target(host="10.0.0.5", port=3306), 502, Symptom.CONNECT_TIMED_OUT)


def test_tls_reasons() -> None:
    def tls(reason: str) -> LogRecord:
        return read(HEAD + f"SSL_do_handshake() failed (SSL: error:{reason}) while SSL handshaking to upstream" + FIELDS)

    old = tls("1408F10B:SSL routines:ssl3_get_record:wrong version number")
    assert (old.symptom, old.detail) == (Symptom.TLS_NOT_TLS, "wrong version number")
    assert tls("0A00010B:SSL routines::wrong version number").symptom is Symptom.TLS_NOT_TLS
    assert tls("0A000458:SSL routines::tlsv1 unrecognized name:SSL alert number 112").detail == "tlsv1 unrecognized name"
    verify = read(
        HEAD + "upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream" + FIELDS
    )
    assert (verify.symptom, verify.detail, verify.code, verify.errno) == (
        Symptom.TLS_UNVERIFIED,
        "certificate has expired",
        "10",
        None,
    )
    client = read(
        "2026/11/20 22:46:40 [info] 1#1: *2 SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking, client: ::1, server: 0.0.0.0:443"
    )
    assert not client.is_gateway_failure


def test_names_that_do_not_resolve() -> None:
    record = read(
        HEAD
        + 'app.internal could not be resolved (3: Host not found), client: ::1, server: _, request: "GET / HTTP/1.1", host: "x"'
    )
    assert (record.symptom, record.detail, record.code, record.errno) == (Symptom.NAME_NOT_FOUND, "app.internal", "3", None)
    slow = read(
        HEAD + 'app.internal could not be resolved (110: Operation timed out), client: ::1, server: _, request: "GET / HTTP/1.1"'
    )
    assert (slow.symptom, slow.status) == (Symptom.NAME_SERVER_FAILED, 502)


def test_numbers_of_other_systems() -> None:
    assert read(HEAD + "connect() failed (61: Connection refused) while connecting to upstream" + FIELDS).errno == 111
    assert read(HEAD + "connect() failed (113: Host is unreachable) while connecting to upstream" + FIELDS).errno == 113


def test_standard_error_of_php_over_several_lines() -> None:
    first = HEAD + 'FastCGI sent in stderr: "PHP message: PHP Fatal error:  Uncaught Error: no in /srv/a.php:3'
    more = ["Stack trace:", "#0 {main}", '  thrown in /srv/a.php on line 3" while reading response header from upstream' + FIELDS]
    assert not continues(first)
    assert all(map(continues, more))
    record = read("\n".join([first, *more]))
    assert (record.symptom, record.is_gateway_failure) == (Symptom.APPLICATION_ERROR, False)
    assert record.target == Target(host="127.0.0.1", port=3001)
    assert "thrown in" in record.detail
    assert read(first).symptom is Symptom.APPLICATION_ERROR
    unknown = read(HEAD + 'FastCGI sent in stderr: "Primary script unknown" while reading response header from upstream' + FIELDS)
    assert unknown.causes == ("fastcgi-script-not-found",)
    assert read(HEAD + 'FastCGI sent in stderr: "PHP message: PHP Warning:  x" while reading upstream' + FIELDS).symptom is None


@pytest.mark.parametrize(
    ("line", "symptom"),
    [
        ("[error] 332#332: *26135 Upstream sent too big header while reading response header from upstream", Symptom.HEADER_TOO_BIG),
        ("upstream prematurely closed connection while reading response header from upstream", Symptom.CLOSED_BEFORE_HEADER),
        ('failed (111: connection refused) while connecting to upstream, client 10.0.0.1; upstream "10.0.0.5:80/"', Symptom.CONNECT_REFUSED),
        ("connect() to unix:/tmp/a.sock failed (2: No such file or directory)", Symptom.SOCKET_PATH_MISSING),
        ("no live upstreams while connecting to upstream", Symptom.NO_LIVE_UPSTREAMS),
        ("1024 worker_connections are not enough", Symptom.WORKER_CONNECTIONS),
        ("db could not be resolved", Symptom.NAME_NOT_FOUND),
        ("SSL_do_handshake() failed ... SSL alert number 40", Symptom.TLS_FAILED),
        ("*24 SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handsh", Symptom.TLS_NOT_TLS),
        ("[emerg]: bind() to 0.0.0.0:80 failed (98: Address already in use)", Symptom.LISTEN_FAILED),
        ("2013/05/25 14:27:42 [crit] 1098#0: *35 connect() to 10.0.0.5:80 failed (99: Cannot assign requested address) wh", Symptom.NO_LOCAL_PORT),
        ("2016/02/15 18:49:53 [error] 1487#0: *1 third_party: upstream connect failed (101: Network unreachable) while connecting to upstream", Symptom.HOST_UNREACHABLE),
        ("connect() failed\n   (111: Connection refused) while connecting to upstream,\n  client: X.X.X.X", Symptom.CONNECT_REFUSED),
    ],
)  # fmt: skip
def test_what_people_paste(line: str, symptom: Symptom) -> None:
    assert read(line).symptom is symptom


def test_loose_fields() -> None:
    record = read('failed (111: connection refused) while connecting to upstream, client 10.0.0.1; upstream "10.0.0.5:80/"')
    assert (record.client, record.target) == ("10.0.0.1", Target(host="10.0.0.5", port=80))
    record = read('connect() failed (111: Connection refused) while connecting to upstream: "http://172.19.0.4:8000/api"')
    assert record.target == Target(host="172.19.0.4", port=8000)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "[2026-11-20 22:46:40 +0000] [7] [CRITICAL] WORKER TIMEOUT (pid:8)",
        "[20-Nov-2026 22:46:40] WARNING: [pool www] server reached pm.max_children setting (5), consider raising it",
        '192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET / HTTP/1.1" 502 157',
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
        "while connecting to upstream",
    ],
)
def test_lines_of_others(line: str) -> None:
    assert parse(line) is None


def test_an_unknown_message_is_still_a_line() -> None:
    record = read(HEAD + "[lua] auth.lua:12: token expired" + FIELDS)
    assert (record.symptom, record.is_gateway_failure, record.client) == (None, False, "192.0.2.7")


def test_a_client_that_leaves_before_its_body_is_read_gets_400() -> None:
    gone = "2026/11/20 22:46:40 [info] 1#1: *2 client prematurely closed connection, client: ::1, server: _, request: "
    assert read(gone + '"POST / HTTP/1.1", host: "x"').status == 400
    assert read(gone + '"GET / HTTP/1.1", host: "x"').status == 499


def test_fits() -> None:
    assert fits([HEAD + REFUSED, "  a stack trace goes on", "nginx: [emerg] x in /a.conf:1"]) == 1.0
    assert 0 < fits(["no live upstreams while connecting to upstream"]) < 1
    assert fits(['192.0.2.7 - - [20/Nov/2026:22:46:40 +0000] "GET / HTTP/1.1" 502 157']) == 0.0
    assert fits([]) == 0.0


def test_a_syslog_server_that_does_not_answer_is_no_name_server() -> None:
    said = "send() failed (111: Connection refused)"
    head = HEAD.replace("*17 ", "")
    silent, resolving = parse(head + said), parse(head + said + " while resolving, resolver: 127.0.0.1:53")
    assert silent and silent.symptom is None
    assert resolving and resolving.symptom is Symptom.NAME_SERVER_FAILED


def test_an_errno_whose_rest_was_lost_still_counts() -> None:
    line = "2024/02/01 10:00:00 [crit] 8#8: *1 connect() to unix:/run/shop.sock failed (2: No such file or"
    record = nginx_error.parse(line)
    assert record is not None and record.errno == 2 and record.symptom is Symptom.SOCKET_PATH_MISSING


def test_a_client_that_fails_the_tls_handshake_breaks_no_request_off() -> None:
    line = (
        "2024/02/01 10:00:00 [crit] 8#8: *1 SSL_do_handshake() failed (SSL: error:14209102:SSL routines:tls_early_post_process_client_hello"
        ":unsupported protocol) while SSL handshaking, client: 192.0.2.7, server: 0.0.0.0:443"
    )
    record = nginx_error.parse(line)
    assert record is not None and record.symptom is None and not record.is_gateway_failure


def test_typeset_quotation_marks_are_quotation_marks() -> None:
    record = nginx_error.parse(HEAD + REFUSED + FIELDS.replace('"', "”").replace(" ”", " “"))
    assert record is not None and str(record.target) == "127.0.0.1:3001" and record.request.startswith("GET /cart")
