"""Lines that the two readers once read differently, found by `scripts/fuzz --reader`.

A line of each class, behind a sound log.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sampled import sampled
from truth import Shape, write

from tests.logs.scan.changed import found
from tests.logs.scan.summing import count, plain
from why502.logs.scan.work import ScanQuery

SOUND = 70
TRAEFIK = '20.83.81.143 - - [04/Mar/2026:05:27:13 +0000] "GET /a HTTP/1.1" 504 157 "-" "curl" 106 "web@docker" "{}" 7ms'
HAPROXY = '20.0.0.77:42170 [04/Mar/2026:05:32:56.996] fe_http {} {} 502 157 - - SH-- 12/8/2/1/0 0/0 "{}"'
HAPROXY_TCP = "20.0.0.77:42170 [04/Mar/2026:05:32:56.996] fe_tcp app/web-1 {} 157 SC 12/8/2/1/0 0/0"
HAPROXY_JSON = (
    '{{"time":"04/Mar/2026:05:32:10.180","client_ip":"20.247.127.170","client_port":10494,"status_code":503,"frontend_name":"fe_json",'
    '"backend_name":"{}","server_name":"web-1","http_method":"GET","request_uri":"/a","time_connect":-1,"time_response":-1,'
    '"time_active":0,"{}":"SC","server_ip":"10.0.0.12","server_port":"8081","bytes_read":157}}'
)
INGRESS = (
    '20.30.107.8 - - [04/Mar/2026:05:25:14 +0000] "GET /a HTTP/1.1" 499 0 "-" "curl" 105 0.067 [shop-web-80] [] 10.0.0.11:8080 '
    "{} 0.067 - {}"
)
ALB = (
    "h2 2026-03-04T05:32:29.223417Z app/shop/50dc6c495c0c9188 20.58.97.90:18413 10.0.0.14:8080 0.001 0.007 {} 204 204 134 4315 "
    '"GET https://www.example.com:443/a HTTP/2.0" "curl" ECDHE TLSv1.2 arn:aws:elasticloadbalancing:eu-west-1:'
    '123456789012:targetgroup/shop/73e2d6bc24d8a067 "Root=1-949ac3a5" "www.example.com" "-" 0 '
    '2026-03-04T05:32:29.215000Z "forward" "-" "-" "10.0.0.14:8080" "204" "-" "-" TID_949ac3a5'
)
ISTIO = (
    '[2026-03-04T06:03:01.656Z] "GET /a HTTP/1.1" 504 UT response_timeout - "-" 0 157 {} - "20.5.122.211" "curl" "23c28382" '
    '"www.example.com" "10.0.0.12:8081" outbound|8080||shop.default.svc.cluster.local 10.244.0.9:41234 10.244.0.9:8443 '
    "20.5.122.211:30020 www.example.com default"
)
OF_CLIENT = "[client 20.0.0.1:2] "
APACHE = "[Wed Mar 04 05:25:21.248005 2026] [{}] [pid {}] {}"
LINES = {
    "apache-common": (' - - [04/Mar/2026:05:27:13 +0000] "GET /a HTTP/1.1" 502 157',),
    "haproxy-http": (
        *(HAPROXY.format(name, "0/0/0/-1/7", "GET /a HTTP/1.1") for name in ("app*0-14", "app/web\t1", "appweb", "app/web : 1")),
        HAPROXY.format("app/web-1", "0/09.25/0/-1/7", "GET /a HTTP/1.1"),
        *(HAPROXY.format("app/web-1", "0/0/0/-1/7", request) for request in ("yET / HTTP/1.1", "<\u00e4DREQ>", "9GET /")),
        "20.122.60.[04/Mar/2026:05:237:" + HAPROXY.format("app/web-1", "0/0/0/-1/7", "GET /a HTTP/1.1"),
    ),
    "haproxy-tcp": tuple(map(HAPROXY_TCP.format, ("1/-i/7", "1/0\0/60003", "05:1/0/7", '"/0/3'))),
    "haproxy-json": (HAPROXY_JSON.format("app", "termina[tion_state"), HAPROXY_JSON.format("app//p", "termination_state")),
    "traefik-clf": (
        *map(TRAEFIK.format, ("http://10.0.0f:8080", "http://10.0.*0.13:8082", "http:/->10.0.0.13:8082", "http://1https://0.0.0.13:80")),
        *map(TRAEFIK.format, ("http://app:8080", "https://web-1.shop_a.local", "http://10.5:8080", "htt+01:00/10.0.0.12:8081")),
        TRAEFIK.format("http://10.0.0.1:80").replace("2026", "4026"),
        TRAEFIK.format("http://10.0.0.1:80").replace("7ms", "2.9999999ms"),
    ),
    "ingress-nginx": (INGRESS.format("360get7", "54cd"), INGRESS.format("0", "x" * 65), INGRESS.format("0, 57.6", "54cd")),
    "aws-alb": (
        *map(ALB.format, ("0.GET", "<NOSRV>", "-1", "0.000")),
        *(ALB.format("0.000").replace("/a HTTP", f"/a{blank}b HTTP") for blank in "\x1e\t\x85\xa0"),
    ),
    "istio-text": (
        *map(ISTIO.format, ("644.00001", "-", "12")),
        ISTIO.format("12").replace("response_timeout", "via_\tup"),
    ),
    "nginx-error": (
        "904 05:49:56 [info] 1234#1 (SIGCHLD) recei34: *220 client closed connection while waiting for request, client: 20.0.0.1",
        "20202:41 [info] 1234#1234: *233 closed keepalive connection",
        "2026/03/04 05:39:15 [notice] 1230#//1230: signal 17 (SIGCHLD) received from 1165",
    ),
    "apache-error": (
        APACHE.format("core:notice", "2501:tid 1400\u00c8", "AH00094: Command line: '/usr/sbin/apache2'"),
        APACHE.format("authz_core:e9rror", "2501:tid 1400", OF_CLIENT + "AH01630: client denied by server configuration: /x"),
        APACHE.format("proxy_uor", "2501:tid 1400", OF_CLIENT + "AH01114: HTTP: failed to make connection to backend: 10.0.0.1"),
        *(
            APACHE.format("proxy:error", "2501:tid 1400", f"{OF_CLIENT}AH00898: {message}")
            for message in (
                "Error reading from remote server returned by /Timeout",
                "Timeout on 100-Continue returned by /a, referer:  b",
            )
        ),
    ),
    "nginx-json-strings": (
        '{"time_iso8601":"2026-03-04T06:03:55+00:00","remote_addr":"20.0.0.1","request":"PUT /a HTTP/1.1","stap_":"200"}',
        ('{"time_iso8601":"2026-03-04T06:05:03+00:00","remote_addr":"20.0.0.1","request":"GET /a HTTP/1.1","status":"201",'
        '"body_bytes_sent":"29649","request_time":"0.047","upstream_addr":"10.0.0.11:8080","upstream_status":"201",'
        '"upstream_response_time":"0.047","http_user_agent":"tab\\there"}'),
        '{"time_iso8601":"2026-03-04T06:05:08+00:00","remote_addr":"20.0.0.1","request":"","status":"40t":"Go-http-clie0"}',
        '{"time_iso8601":"2026-03-04T06:05:08+00:00","\rent_addr":"20.0.0.1","request":"GET / HTTP/1.1","status":"200"}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sampled(LINES, 4))
def test_damaged_lines_count_alike(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, Shape(format=name, lines=SOUND, seed=1, failures=0.3, odd=0.1, noise=0.1, attempts=2))
    sound, form = path.read_bytes(), found(path)
    for lines in ((line,) for line in LINES[name]) if name != "nginx-json-strings" else (LINES[name],):
        path.write_bytes(sound + b"".join(line.encode("latin-1") + b"\n" for line in lines))
        slow, fast = (plain(count(path, form, ScanQuery(is_exact=True, is_fast=is_fast))) for is_fast in (False, True))
        assert {**fast, "fields": ()} == {**slow, "fields": ()}, lines
