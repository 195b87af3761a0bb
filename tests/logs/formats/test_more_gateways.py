"""Lines of gateways as people post them: mod_jk, mod_fastcgi, Kong and APISIX, API Gateway, Fastly, Caddy's older and cut forms,
HAProxy's `show errors`.
"""

from __future__ import annotations

import pytest

from why502.logs import pretty
from why502.logs.detect import parse_any
from why502.model.logs import Symptom

JK = "[Tue Mar 03 09:11:12 2026][412:9] "
LUA = '2026/03/03 09:11:12 [error] 7#7: *5 [lua] x.lua:9: f(): {}, client: 10.0.0.9, server: _, request: "GET /a HTTP/1.1", host: "a.test"'


@pytest.mark.parametrize(
    ("line", "proxy", "symptom", "cause"),
    [
        (JK + "[info] jk_open_socket::jk_connect.c (817): connect to 10.1.1.4:8009 failed (errno=111)", "apache", Symptom.CONNECT_REFUSED, ""),
        (JK + "[error] ajp_get_reply::jk_ajp_common.c (2118): (w3) Timeout with waiting reply from tomcat. (errno=110)", "apache", Symptom.READ_TIMED_OUT, "backend-too-slow"),
        (JK + "[error] x::jk_ajp_common.c (1402): (w3) can't receive the response header message from tomcat, tomcat (10.1.1.4:8009) has forced a connection close for socket 18", "apache", Symptom.CLOSED_BEFORE_HEADER, "premature-close"),
        (JK + "[error] service::jk_lb_worker.c (1485): All tomcat instances failed, no more workers left", "apache", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down"),
        ('[Tue Mar 03 09:11:12 2026] [error] [client 10.0.0.9] FastCGI: comm with server "/srv/app.fcgi" aborted: idle timeout (30 sec)', "apache", Symptom.READ_TIMED_OUT, "backend-too-slow"),
        ('[Tue Mar 03 09:11:12 2026] [error] [client 10.0.0.9] FastCGI: incomplete headers (0 bytes) received from server "/srv/app.fcgi"', "apache", Symptom.CLOSED_BEFORE_HEADER, "premature-close"),
        ("[Tue Mar 03 09:11:12 2026] [warn] [client 10.0.0.9] mod_fcgid: read data timeout in 40 seconds", "apache", Symptom.READ_TIMED_OUT, "backend-too-slow"),
        ("ProxyPass Can't find 'bybusyness' lb method", "apache", Symptom.MODULE_MISSING, "proxy-module-missing"),
        ("AH00526: Syntax error on line 3 of /etc/httpd/a.conf: Invalid command 'ProxyPassMatch', perhaps misspelled or defined by a module not included", "apache", Symptom.MODULE_MISSING, "proxy-module-missing"),
        (LUA.format("failed the initial dns/balancer resolve for 'shop.test' with: dns server error: 3 name error"), "nginx", Symptom.NAME_NOT_FOUND, "dns-host-not-found"),
        (LUA.format("failed to retry the dns/balancer resolver for shop' with: dns server error: 2 server failure"), "nginx", Symptom.NAME_SERVER_FAILED, "dns-resolver-failure"),
        (LUA.format("failed to pick server: missing upstream configuration while connecting to upstream"), "nginx", Symptom.ROUTE_TARGET_MISSING, "route-target-missing"),
        (LUA.format("failure to get a peer from the ring-balancer"), "nginx", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down"),
        ("Tue Mar 03 09:11:12 UTC 2026 : Execution failed due to configuration error: Malformed Lambda proxy response", "aws-api-gateway", Symptom.FUNCTION_FAILED, "function-target-error"),
        ("Tue Mar 03 09:11:12 UTC 2026 : Execution failed due to a timeout error", "aws-api-gateway", Symptom.READ_TIMED_OUT, "backend-too-slow"),
        ("Error 503 backend read error", "fastly", Symptom.CLOSED_BEFORE_HEADER, "premature-close"),
        ("522: Connection timed out", "cloudflare", Symptom.CONNECT_TIMED_OUT, "connect-timeout"),
        ("[ERROR 502 /dav] stream error: stream ID 9; HTTP_1_1_REQUIRED", "caddy", Symptom.OTHER_PROTOCOL, ""),
        ("1.772528e+09\terror\thttp.log.error\tdial tcp 10.1.1.4:80: connect: connection refused\t{}", "caddy", Symptom.CONNECT_REFUSED, ""),
        ('{"level":"error","ts":1772528000.1,"logger":"http.handlers.reverse_proxy","msg":"aborting with incomplete response","error":"writing: write tcp 10.1.1.1:443->10.0.0.9:4: write: broken pipe"}', "caddy", Symptom.CLIENT_CLOSED, ""),
        ('{"level":"error","ts":1772528000.1,"logger":"http.handlers.reverse_proxy","msg":"aborting with incomplete response","error":"reading: unexpected EOF"}', "caddy", Symptom.CLOSED_IN_BODY, ""),
        ("2026/03/03 09:11:12 http: proxy error: x509: certificate has expired or is not yet valid", "go", Symptom.TLS_UNVERIFIED, ""),
        ("read tcp 10.1.1.1:5->10.1.1.4:80: wsarecv: Eine vorhandene Verbindung wurde geschlossen. caused by: '502 Bad Gateway' caused by: read tcp 10.1.1.1:5->10.1.1.4:80: wsarecv: Eine", "traefik", Symptom.RESET_BEFORE_HEADER, ""),
        ("[03/Mar/2026:09:11:12.001] backend be_app (#4): invalid response", "haproxy", Symptom.HEADER_INVALID, "invalid-response"),
        ('fe~ be/srv1 0/0/1/-1/30001 504 194 - - sH-- 9/8/2/1/0 0/0 "GET /a HTTP/1.1"', "haproxy", Symptom.READ_TIMED_OUT, ""),
        ("at=2026 method=GET response_flags=UT response_code_details=upstream_response_timeout status=504 duration=15002 upstream=10.1.1.4:80", "envoy", Symptom.READ_TIMED_OUT, "backend-too-slow"),
        ('{"responseFlags":"UO","responseCodeDetails":"upstream_reset_before_response_started{overflow}","responseCode":"503","duration":"0"}', "envoy", Symptom.PEER_LIMIT, "upstream-connection-limit"),
        ('{"response-code":500,"response-code-details":"ext_authz_error","path":"/","message":"http-request"}', "envoy", Symptom.AUTH_FAILED, "auth-service-failed"),
        ('{"http_status":504,"backend_name":"be","server_name":"s1","termination_state":"sH--","upstream_connect_time":1,"upstream_response_time":-1,"active_time":30001}', "haproxy", Symptom.READ_TIMED_OUT, ""),
        ("503 UH no_healthy_upstream", "envoy", Symptom.NO_LIVE_UPSTREAMS, "all-upstreams-down"),
        ("[2026-03-03 09:11:12.001][9][debug][http] [x.cc:8] [C0][S1] Sending local reply with details upstream_reset_before_response_started{connection failure}", "envoy", Symptom.CONNECT_REFUSED, "backend-not-running"),
        ("[Tue Mar 03 09:11:12.001 2026] [proxy_fcgi:error] [pid 4:tid 5] (104)Connection reset by peer: [client 10.0.0.9:5] AH01075: Error dispatching request to : (reading input brigade)", "apache", Symptom.CLIENT_CLOSED, ""),
        ("-   FetchError     HTC status -1", "varnish", Symptom.CLOSED_BEFORE_HEADER, "premature-close"),
        ("-   FetchError     straight read_error: -1 12 (Cannot allocate memory)", "varnish", Symptom.MEMORY_EXHAUSTED, "memory-pressure"),
        ("Proxy error: dial tcp 10.1.1.4:80: connect: connection refused", "go", Symptom.CONNECT_REFUSED, ""),
        ("-   FetchError     backend app: fail errno 60 (Operation timed out)", "varnish", Symptom.CONNECT_TIMED_OUT, ""),
    ],
)  # fmt: skip
def test_a_line(line: str, proxy: str, symptom: Symptom, cause: str) -> None:
    record = parse_any(line)
    assert record is not None
    assert (record.proxy, record.symptom) == (proxy, symptom)
    assert record.is_gateway_failure
    if cause:
        assert record.causes[0] == cause


@pytest.mark.parametrize(
    "line",
    [
        LUA.format("module loaded"),
        JK + "[debug] x::jk_ajp_common.c (1402): (w3) connect to 10.1.1.4:8009 failed",
        "[03/Mar/2026:09:11:12.001] frontend fe (#2): invalid request",
        "Tue Mar 03 09:11:12 UTC 2026 : Method completed with status: 200",
        "backend returned 503 first, byte counters follow",
    ],
)
def test_no_failure(line: str) -> None:
    record = parse_any(line)
    assert record is None or not record.is_gateway_failure


def test_a_spread_object_is_one_line_and_the_others_keep_their_numbers() -> None:
    text = b'first\n{\n  "a": 1,\n  "b": "x y"\n}\nlast\n{\n  "cut": 1\n'
    lines = pretty.joined(text).split(b"\n")
    assert lines[1].replace(b" ", b"") == b'{"a":1,"b":"xy"}'
    assert lines[5] == b"last"
    assert lines[6].startswith(b'{ "cut"')
    assert pretty.is_spread(text)
    assert not pretty.is_spread(b'{"a": 1}\n')
