"""lighttpd's configuration as routes, and its error log as records. The lines are those of lighttpd 1.4.69."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.gateways import detect
from why502.gateways.behaviour import behaviour
from why502.gateways.lighttpd import config, logs
from why502.gateways.lighttpd.tallies import settled
from why502.gateways.nginx.logs import access
from why502.model.config import LogKind, LogPlace, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

TEXT = """\
server.modules = ( "mod_proxy", # a comment
                   "mod_fastcgi" )
var.base = "/var/log"
server.port = 8080
server.errorlog = var.base + "/lighttpd/error.log"
accesslog.filename = "/dev/stdout"
proxy.server = ( "/api/" => (
    "one" => ( "host" => "127.0.0.1", "port" => 3000, "read-timeout" => 20, "connect-timeout" => 2 ),
    "two" => ( "host" => "10.0.0.6", "port" => "3001" ) ) )
fastcgi.server += ( ".php" => (( "socket" => "/run/php.sock", "check-local" => "disable" )),
                    "/cgi" => (( "bin-path" => "/usr/bin/x", "port" => 1026 )) )
$SERVER["socket"] == "[::]:81" {
  $HTTP["host"] == "shop.example" {
    proxy.server = ( "" => ( ( "host" => "app", "port" => 80 ) ) )
  }
}
$HTTP["url"] =^ "/ws/" {
  proxy.server = ( "" => (( "host" => "/run/ws.sock" )) )
}
else { proxy.balance = "hash" }
"""


def routes() -> list[Route]:
    """Return the routes of the text."""
    return list(config.load(TEXT, "/etc/lighttpd/lighttpd.conf").routes)


def test_routes() -> None:
    assert [(route.directive, route.location, [peer.target for peer in route.peers]) for route in routes()] == [
        ("proxy.server", "/api/", [Target(host="127.0.0.1", port=3000), Target(host="10.0.0.6", port=3001)]),
        ("fastcgi.server", ".php", [Target(path="/run/php.sock")]),
        ("fastcgi.server", "/cgi", [Target(host="127.0.0.1", port=1026)]),
        ("proxy.server", "", [Target(host="app", port=80)]),
        ("proxy.server", "/ws/", [Target(path="/run/ws.sock")]),
    ]
    api, php, _, shop, ws = routes()
    assert (api.read_timeout_s, api.connect_timeout_s, api.upstream, str(api.at)) == (
        20.0,
        2.0,
        "/api/",
        "/etc/lighttpd/lighttpd.conf:7",
    )
    assert [peer.label for peer in api.peers] == ["one", "two"]
    assert (php.protocol, php.upstream, php.listens) == ("fastcgi", None, ("8080", "[::]:81"))
    assert (shop.server, shop.listens) == ("shop.example", ("[::]:81",))
    assert ws.if_conditions == ('$HTTP["url"] =^ "/ws/"',)


def test_logs() -> None:
    found = config.load(TEXT, "x").logs
    assert [(log.kind, log.path, log.goes_to) for log in found] == [
        (LogKind.ERROR, "/var/log/lighttpd/error.log", LogPlace.FILE),
        (LogKind.ACCESS, "", LogPlace.STDERR),
    ]


def test_the_format_of_its_access_logs() -> None:
    """Its usual format has the virtual host, where others have the user of identd."""
    own = TEXT + '$HTTP["host"] == "a.example" { accesslog.filename = "/var/log/a"\n accesslog.format = "%h %t \\"%r\\" %s" }'
    found = {log.path: log.format for log in config.load(own, "x").logs if log.kind is LogKind.ACCESS}
    assert found[""].startswith("%h %V %u ")
    assert found["/var/log/a"] == '%h %t "%r" %s'
    text, escape = behaviour("lighttpd").read_as(found[""], "default")
    line = '127.0.0.1 static.example:8080 - [23/Nov/2026:20:44:15 +0000] "GET /a HTTP/1.1" 200 365 "-" "curl/8"'
    record = access.compile(text, escape).parse(line)
    assert record is not None and (record.server, record.status) == ("static.example:8080", 200)


def test_a_failure_in_both_logs_is_counted_once() -> None:
    told = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="lighttpd", status=504, count=6)
    access = Tally(symptom=Symptom.GATEWAY_STATUS, status=504, count=8, requests=(("GET /", 8),))
    proxies = (Proxy(kind="lighttpd", pid=1),)
    found = settled(LogSummary(tallies=(told, access)), proxies).tallies
    assert [(tally.symptom, tally.count, tally.requests) for tally in found] == [
        (Symptom.READ_TIMED_OUT, 6, ()),
        (Symptom.GATEWAY_STATUS, 2, (("GET /", 2),)),
    ]
    both = (*proxies, Proxy(kind="nginx", pid=2))
    assert settled(LogSummary(tallies=(told, access)), both).tallies == (told, access)


def test_it_is_recognised() -> None:
    assert detect.kind(TEXT) == "lighttpd"
    assert detect.kind("server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } }") == "nginx"


def test_the_route_of_a_path() -> None:
    servers, find = config.finder(Proxy(kind="lighttpd", pid=1, routes=tuple(routes())))
    assert "shop.example" in servers
    assert find("/api/x?y", "", False) is routes()[0] or find("/api/x", "", False) == routes()[0]
    assert find("/index.php", "", False) == routes()[1]
    assert find("/index.html", "", False) is None
    assert find("/index.html", "shop.example", False) == routes()[3]
    assert find("/index.html", "shop.example:8080", False) == routes()[3]
    assert find("/index.html", "static.example", False) is None


@pytest.mark.parametrize(
    ("line", "symptom", "target", "status"),
    [
        (
            "(gw_backend.c.274) establishing connection failed: socket: tcp:127.0.0.1:3000: Connection refused",
            Symptom.CONNECT_REFUSED,
            "127.0.0.1:3000",
            503,
        ),
        (
            "(gw_backend.c.274) establishing connection failed: socket: unix:/run/a.sock: No such file or directory",
            Symptom.SOCKET_PATH_MISSING,
            "unix:/run/a.sock",
            503,
        ),
        (
            "(gw_backend.c.274) establishing connection failed: socket: tcp:192.0.2.7:80: Connection timed out",
            Symptom.CONNECT_TIMED_OUT,
            "192.0.2.7:80",
            503,
        ),
        ("(gw_backend.c.960) all handlers for /dead? on /dead are down.", Symptom.NO_LIVE_UPSTREAMS, None, 503),
        (
            "(gw_backend.c.2708) read timeout on socket: tcp:127.0.0.1:3001 (fd: 11)",
            Symptom.READ_TIMED_OUT,
            "127.0.0.1:3001",
            504,
        ),
        (
            "(gw_backend.c.2389) response not received, request sent: 9 on socket: tcp:127.0.0.1:3005 for /r?, closing",
            Symptom.CLOSED_BEFORE_HEADER,
            "127.0.0.1:3005",
            500,
        ),
        ("(http-header-glue.c.1128) response headers too large for /big", Symptom.HEADER_TOO_BIG, None, 502),
        ("(gw_backend.c.351) gw-server re-enabled: tcp:127.0.0.1:3000 127.0.0.1 3000 ", None, None, None),
        ("(server.c.1704) server started (lighttpd/1.4.69)", None, None, None),
    ],
)
def test_lines(line: str, symptom: Symptom | None, target: str | None, status: int | None) -> None:
    record = logs.parse(f"2026-11-23 14:19:16: {line}")
    assert record is not None and record.at is not None and record.at.second == 16
    assert (record.symptom, record.target and str(record.target), record.status) == (symptom, target, status)
    assert record.is_gateway_failure is (symptom is not None)
    bare = logs.parse(line)
    assert bare is not None and bare.symptom is symptom  # of a unit's journal, without the time


def test_other_lines_are_none_of_its() -> None:
    assert logs.parse("2026/11/23 14:19:16 [error] 1#1: *1 connect() failed") is None
    assert logs.fits(["2026-11-23 14:19:16: (server.c.1704) server started (lighttpd/1.4.69)", "x"]) == 0.5


@given(st.text("(){}\"'$[]=+~>,# \nabproxy.server/", max_size=200))
def test_any_text_is_read(text: str) -> None:
    config.load(text, "x")
    config.load(TEXT + text, "x")
    logs.parse(f"2026-11-23 14:19:16: (gw_backend.c.1) {text}")


def test_deep_text_is_read() -> None:
    config.load("proxy.server = " + "(" * 5000 + "\n" + "{" * 5000, "x")
