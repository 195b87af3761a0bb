"""The requests, computed from routes and logs, without a server."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.model.config import Position, Route, Setting
from why502.model.errors import Why502Error
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target
from why502.probing.entrance import listens_at, of_route, of_url
from why502.probing.plan import asked, only_upgrades, plan, version
from why502.probing.request import ANSWER_S, CONNECT_S

APP = Target(host="10.0.0.5", port=3001)
NGINX = Proxy(pid=1, version="1.22.1", listens=(Target(host="0.0.0.0", port=80), Target(host="10.0.0.1", port=8443)))


def route(**fields) -> Route:
    return Route(**{"passes": "http://10.0.0.5:3001", "server_names": ("example.com",), "listens": ("80",), **fields})


def failed(*requests: str) -> Tally:
    return Tally(symptom=Symptom.CONNECT_REFUSED, requests=tuple((request, 1) for request in requests))


@pytest.mark.parametrize(
    ("passes", "host_header", "host"),
    [
        ("http://10.0.0.5:3001", "$proxy_host", "10.0.0.5:3001"),
        ("http://backend/x", "$proxy_host", "backend"),
        ("http://app.internal:80", "$proxy_host", "app.internal"),
        ("http://$backend", "$proxy_host", "10.0.0.5:3001"),
        ("http://backend", "$host", "example.com"),
        ("http://backend", "${http_host}:$server_port", "example.com:80"),
        ("http://backend", "literal.example", "literal.example"),
        ("http://backend", "$whatever", "example.com"),
        ("http://backend", "", ""),
        ("http://backend", "a\r\nX: b", ""),
    ],
)
def test_host(passes, host_header, host):
    assert plan(NGINX, route(passes=passes, host_header=host_header), APP).host == host


def test_host_of_a_unix_socket():
    assert plan(NGINX, route(passes="http://unix:/run/app.sock:/x"), Target(path="/run/app.sock")).host == "localhost"


@pytest.mark.parametrize(
    ("names", "host"),
    [((), "localhost"), (("_", ""), "localhost"), (("~^x$", "*.a.test"), "why502.a.test"), ((".a.test",), "a.test")],
)
def test_names_that_are_patterns(names, host):
    assert plan(NGINX, route(server_names=names, host_header="$host"), APP).host == host


def test_other_fields():
    headers = (
        ("Host", "ignored"),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-Proto", "$scheme"),
        ("Upgrade", "$http_upgrade"),
        ("Connection", "$connection_upgrade"),
        ("X-Unknown", "$some_map"),
        ("X-Bad", "a\nb"),
        ("Bad name", "x"),
    )
    assert plan(NGINX, route(headers=headers), APP).headers == (("X-Real-IP", "127.0.0.1"), ("X-Forwarded-Proto", "http"))
    assert plan(NGINX, route(), APP).headers == (("Connection", "close"),)


def test_limits_are_the_routes():
    sent = plan(NGINX, route(connect_timeout_s=1, read_timeout_s=0.5, buffer_size_bytes=8192), APP)
    assert (sent.route_connect_s, sent.route_read_s, sent.buffer_bytes) == (1, 0.5, 8192)
    assert (sent.connect_s, sent.answer_s) == (CONNECT_S, ANSWER_S)


@pytest.mark.parametrize(
    ("kind", "text", "is_strict"),
    [("nginx", "1.22.1", False), ("nginx", "nginx/1.23.0", True), ("nginx", "", False), ("haproxy", "2.6", False)],
)
def test_strictness_is_the_versions(kind, text, is_strict):
    assert plan(Proxy(pid=1, kind=kind, version=text), route(), APP).is_strict is is_strict


def test_versions():
    assert version("nginx/1.22.1 (Debian)") == (1, 22, 1)
    assert version("") == ()


@pytest.mark.parametrize(
    ("location", "requests", "expected"),
    [
        ("/api/", (), ("GET", "/api/")),
        ("^~ /api/", (), ("GET", "/api/")),
        ("= /cron", (), ("GET", "/")),
        ("= /cron", ("GET /cron",), ("GET", "/cron")),
        ("~ \\.php$", (), ("GET", "/")),
        ("@app", ("HEAD /x HTTP/1.1",), ("HEAD", "/x")),
        ("", (), ("GET", "/")),
        ("/", ("POST /pay", "DELETE /x", "GET /report?token=secret"), ("GET", "/")),
        ("/api/", ("GET /other",), ("GET", "/api/")),
        ("/", ("GET /\\x22", "GET /a HTTP/1.1"), ("GET", "/a")),
        ("/", ("GET /a b",), ("GET", "/")),
        ("/", ("GET /\x1b[31m", "GET http://evil/"), ("GET", "/")),
    ],
)
def test_requests_that_are_sent(location, requests, expected):
    choice = asked(route(location=location), [failed(*requests)])
    assert (choice.method, choice.path) == expected
    assert choice.repeats == (expected[1] not in ("/", "/api/"))


@pytest.mark.parametrize(("location", "is_in_route"), [("", True), ("/a/", True), ("= /a", False), ("~ a", False), ("@a", False)])
def test_whether_the_path_is_the_routes_own(location, is_in_route):
    assert plan(NGINX, route(location=location), APP).is_in_route is is_in_route
    assert plan(NGINX, route(location=location), APP, [failed("GET /a/")]).is_in_route is (location != "= /a")


@pytest.mark.parametrize(
    ("location", "uri", "request_line", "path"),
    [
        ("/api/", "/", "GET /api/users", "/users"),
        ("/api/", "/v2/", "GET /api/users", "/v2/users"),
        ("/api/", None, "GET /api/users", "/api/users"),
        ("= /x", "/y", "GET /x", "/y"),
        ("~ ^/x", None, "GET /x", "/x"),
    ],
)
def test_the_path_as_the_backend_gets_it(location, uri, request_line, path):
    assert plan(NGINX, route(location=location, uri=uri), APP, [failed(request_line)]).path == path


def test_tls():
    https = {"protocol": "https", "passes": "https://app.test:8443"}
    sent = plan(NGINX, route(**https), APP).tls
    assert sent is not None
    assert (sent.sni, sent.name, sent.verifies) == ("", "app.test", False)
    settings = {"proxy_ssl_name": (Setting(args=("$host",)),), "proxy_ssl_protocols": (Setting(args=("TLSv1.2", "TLSv1.3")),)}
    sent = plan(NGINX, route(**https, sends_sni=True, verifies_tls=True, settings=settings), APP).tls
    assert sent is not None
    assert (sent.sni, sent.name, sent.verifies, sent.protocols) == ("example.com", "example.com", True, ("TLSv1.2", "TLSv1.3"))
    sent = plan(NGINX, route(protocol="https", passes="https://10.0.0.5:8443", sends_sni=True), APP).tls
    assert sent is not None
    assert sent.sni == ""
    assert plan(NGINX, route(), APP).tls is None


def test_another_root():
    proxy = Proxy(pid=7, root="/proc/7/root")
    sent = plan(proxy, route(), Target(path="/run/app.sock"))
    assert (sent.target.path, sent.address) == ("/run/app.sock", Target(path="/proc/7/root/run/app.sock"))


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("80", "127.0.0.1:80"),
        ("*:8080", "127.0.0.1:8080"),
        (":8080", "127.0.0.1:8080"),
        ("0.0.0.0:81", "127.0.0.1:81"),
        ("10.0.0.1:81", "10.0.0.1:81"),
        ("[::]:82", "[::1]:82"),
        ("127.0.0.1", "127.0.0.1:80"),
        ("unix:/run/x", "unix:/run/x"),
        ("some.name:80", "None"),
    ],
)
def test_where_a_server_listens(listen, target):
    assert str(listens_at(listen)) == target


def test_requests_through_the_proxy():
    sent = of_route(route(listens=("443 quic", "8443 ssl http2 proxy_protocol"), location="/a/"), [failed("GET /a/b")])
    assert sent is not None
    assert (sent.url, sent.host, sent.path) == ("https://example.com:8443/a/b", "example.com:8443", "/a/b")
    assert sent.tls is not None
    assert sent.tls.sni == "example.com"
    assert sent.preamble.startswith("PROXY ")
    assert sent.through_proxy
    assert of_route(route(listens=("some.name:80",)), []) is None


def test_urls():
    sent = of_url("http://shop.test/a?b=c", [NGINX])
    assert (sent.target, sent.host, sent.path, sent.url) == (
        Target(host="127.0.0.1", port=80),
        "shop.test",
        "/a?b=c",
        "http://shop.test/a",
    )
    sent = of_url("https://shop.test:8443", [NGINX])
    assert (sent.target, sent.host, sent.path) == (Target(host="10.0.0.1", port=8443), "shop.test:8443", "/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "shop.test",
        "http://",
        "http://x:99999/",
        "http://x:81/",
        "http://x/a b",
        "http://[x/",
        "http://a..b:80/",
    ],
)
def test_urls_that_lead_nowhere(url):
    with pytest.raises(Why502Error):
        of_url(url, [NGINX])


def test_the_script_of_a_failed_request():
    headers = (
        ("SCRIPT_FILENAME", "$document_root$fastcgi_script_name"),
        ("QUERY_STRING", "$query_string"),
        ("REQUEST_METHOD", "$request_method"),
        ("PATH_INFO", "$path_info_of_a_map"),
    )
    settings = {"root": (Setting(args=("/srv/www/",)),), "fastcgi_index": (Setting(args=("index.php",)),)}
    php = {
        "protocol": "fastcgi",
        "directive": "fastcgi_pass",
        "location": "~ \\.php$",
        "passes": "10.0.0.5:3001",
        "headers": headers,
    }
    sent = plan(NGINX, route(**php, settings=settings), APP, [failed("HEAD /shop/")])
    assert sent.script == "/srv/www/shop/index.php"
    assert sent.params == (("SCRIPT_FILENAME", sent.script), ("QUERY_STRING", ""), ("REQUEST_METHOD", "HEAD"))
    assert plan(NGINX, route(**php, settings=settings), APP).script == ""
    assert plan(NGINX, route(**php), APP, [failed("GET /a.php")]).script == ""


HERE, THERE = (Position(file="a.conf", line=line, column=1, start=line, end=line + 1) for line in (7, 9))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({"101": 22}, True),
        ({"101": 22, "000": 1, "502": 4, "499": 1}, True),  # a failure does not count as another answer
        ({"101": 22, "200": 1}, False),  # pages and WebSockets on one route
        ({"101": 22, "404": 1}, False),
        ({"200": 22}, False),
        ({}, False),
    ],
)
def test_a_websocket_only_route_gets_no_request(statuses: dict[str, int], expected: bool) -> None:
    paths = (PathTraffic(at=HERE, statuses=statuses), PathTraffic(at=THERE, statuses={"200": 9}))
    known = Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC), logs=LogSummary(paths=paths))
    assert only_upgrades(known, route(at=HERE)) is expected
    assert plan(NGINX, route(at=HERE), APP, only_upgrades=expected).only_connects is expected
