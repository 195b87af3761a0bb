"""The settings we report are what a running nginx does: inheritance, headers, logs, the choice of servers and locations."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import nginx_oracle as oracle
import pytest

from why502.config.configuration import Configuration
from why502.gateways.nginx.config import Matcher, load
from why502.model.config import Route

pytestmark = [oracle.needs_nginx, pytest.mark.real]

HEADERS = """\
server { listen unix:FOLDER/back.sock; return 200 "$http_host|$http_x_a|$http_x_b|$server_protocol|$http_connection|$request_uri"; }
server { listen unix:FOLDER/other.sock; return 200 "other|$http_x_a|$http_x_b|$server_protocol|$http_connection|$request_uri"; }
proxy_set_header X-A http;
proxy_http_version 1.1;
proxy_set_header Host from.http;
proxy_set_header Connection close;
upstream group { server unix:FOLDER/back.sock; }
map $arg_to $chosen { default group; other unix:FOLDER/other.sock:; }
server {
  listen unix:FOLDER/front.sock;
  server_name front;
  set $target group;
  location /plain { proxy_pass http://group; }
  location /own { proxy_set_header X-B own; proxy_set_header Connection close; proxy_pass http://unix:FOLDER/back.sock; }
  location /outer/ {
    proxy_set_header X-B outer; proxy_set_header Connection close;
    proxy_pass http://group/uri/;
    location /outer/inner/ { proxy_pass http://group; proxy_http_version 1.0; }
    location /outer/none/ { }
  }
  location /if { proxy_pass http://group; if ($arg_x) { proxy_pass http://unix:FOLDER/other.sock; } if ($arg_y) { set $z 1; } }
  location /limited { proxy_pass http://group; limit_except GET { proxy_pass http://unix:FOLDER/other.sock; } }
  location /set { set $target unix:FOLDER/other.sock:; proxy_pass http://$target; }
  location /unset { proxy_pass http://$target; }
  location /map { proxy_pass http://$chosen$request_uri; }
  location /named { try_files /nothing @later; }
  location @later { proxy_pass http://group; proxy_set_header Host named; proxy_set_header Connection close; }
}
"""


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Configuration]]:
    directory = tmp_path_factory.mktemp("h")
    with oracle.running(directory, HEADERS.replace("FOLDER", str(directory))) as main:
        yield directory, load(oracle.read, oracle.listing, str(main), str(directory), version="1.22.1")


def route(configuration: Configuration, *path: str, condition: str = "") -> Route:
    return next(
        route
        for route in configuration.routes
        if route.location_path == path
        and condition in " ".join(route.if_conditions)
        and bool(condition) == bool(route.if_conditions)
    )


@pytest.mark.parametrize(
    ("uri", "path", "condition", "method"),
    [
        ("/plain", ("/plain",), "", "GET"),
        ("/own", ("/own",), "", "GET"),
        ("/outer/x", ("/outer/",), "", "GET"),
        ("/outer/inner/x", ("/outer/", "/outer/inner/"), "", "GET"),
        ("/if", ("/if",), "", "GET"),
        ("/if?x=1", ("/if",), "$arg_x", "GET"),
        ("/if?y=1", ("/if",), "", "GET"),
        ("/limited", ("/limited",), "", "GET"),
        ("/limited", ("/limited",), "limit_except GET", "DELETE"),
        ("/set", ("/set",), "", "GET"),
        ("/unset", ("/unset",), "", "GET"),
        ("/named", ("@later",), "", "GET"),
    ],
)
def test_routes_send_what_nginx_sends(
    headers: tuple[Path, Configuration], uri: str, path: tuple[str, ...], condition: str, method: str
) -> None:
    directory, configuration = headers
    found = route(configuration, *path, condition=condition)
    sent = {name.lower(): value for name, value in found.headers}
    (peer,) = found.peers
    status, body = oracle.ask(directory / "front.sock", uri, method=method)
    assert status == 200
    host, a, b, version, connection, passed = body.split("|")
    assert (host == "other") == str(peer.target).endswith("other.sock")
    if host != "other":
        assert host == found.host_header.replace("$proxy_host", found.proxy_host)
    assert (a, b, connection) == (sent.get("x-a", ""), sent.get("x-b", ""), sent.get("connection", "close"))
    assert version == f"HTTP/{found.http_version}"
    assert passed == (uri if found.uri is None else found.uri + uri.removeprefix(path[-1]))


def test_a_nested_location_has_no_pass_of_its_own(headers: tuple[Path, Configuration]) -> None:
    directory, configuration = headers
    assert oracle.ask(directory / "front.sock", "/outer/none/x")[0] == 404
    assert not [route for route in configuration.routes if "/outer/none/" in route.location_path]


def test_every_value_of_a_variable_is_a_peer(headers: tuple[Path, Configuration]) -> None:
    directory, configuration = headers
    found = route(configuration, "/map")
    assert {str(peer.target).rsplit("/", 1)[1] for peer in found.peers} == {"back.sock", "other.sock"}
    assert oracle.ask(directory / "front.sock", "/map?to=other")[1].startswith("other|")
    assert not oracle.ask(directory / "front.sock", "/map")[1].startswith("other|")


LOGS = """\
log_format one 'one $uri';
log_format two escape=json 'two ' '$uri';
access_log logs/http.log one;
error_log logs/http-error.log info;
server {
  listen unix:FOLDER/a.sock; server_name a;
  location / { return 204; }
  location /off { access_log off; return 204; }
  location /own { access_log logs/own.log two; access_log FOLDER/logs/own2.log; return 204; }
  location /own/inner { return 204; }
  location /if { if ($arg_x) { access_log logs/if.log one; return 204; } return 204; }
  location /variable { access_log logs/v-$arg_x.log one; return 204; }
  location /error { error_log logs/error-own.log; access_log off; proxy_pass http://unix:FOLDER/none.sock; }
  location /error/http { access_log off; proxy_pass http://unix:FOLDER/none.sock; }
}
server { listen unix:FOLDER/b.sock; server_name b; access_log logs/b.log; location / { return 204; } location /x { return 204; } }
"""


def test_logs_are_those_that_nginx_writes(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()  # nginx writes a log with a variable in its path only if the root exists
    with oracle.running(tmp_path, LOGS.replace("FOLDER", str(tmp_path)), main="error_log logs/main.log notice;") as main:
        ours = load(oracle.read, oracle.listing, str(main), str(tmp_path), build_arguments=oracle.build_arguments())
        uris = ["/", "/off", "/own", "/own/inner", "/if?x=1", "/if", "/variable?x=q", "/error", "/error/http"]
        assert [oracle.ask(tmp_path / "a.sock", uri)[0] for uri in uris] == [204] * 7 + [502, 502]
        assert [oracle.ask(tmp_path / "b.sock", uri)[0] for uri in ("/", "/x")] == [204, 204]
    written = {path.name for path in (tmp_path / "logs").iterdir() if path.stat().st_size and path.name != "first.log"}
    named = {Path(log.path).name.replace("$arg_x", "q") for log in ours.logs if log.path}
    assert written == named == {
        "http.log", "own.log", "own2.log", "if.log", "v-q.log", "b.log", "main.log", "http-error.log", "error-own.log",
    }  # fmt: skip
    by_name = {Path(log.path).name: log for log in ours.logs}
    assert (by_name["own.log"].format, by_name["own.log"].escape, by_name["own.log"].server) == ("two $uri", "json", "a")
    assert (tmp_path / "logs/own.log").read_text() == "two /own\n"
    assert (by_name["http.log"].server, by_name["b.log"].server, by_name["b.log"].format_name) == ("", "b", "combined")
    assert (by_name["http-error.log"].level, by_name["error-own.log"].level, by_name["main.log"].level) == (
        "info",
        "error",
        "notice",
    )
    assert by_name["v-$arg_x.log"].goes_to == "variable"
    assert [log.server for log in ours.logs if log.goes_to == "off"] == ["a", "a", "a"]


NAMES = [
    ["one.example.com"], ["*.example.com"], ["www.example.*"], [".dotted.org"], ["~^r[0-9]+\\.example\\.net$"],
    ["*.long.example.com", "TWO.example.com"], ["_"],
]  # fmt: skip
LOCATIONS = [
    "/", "= /exact", "/exact", "^~ /images/", "/images/thumbs/", "~ \\.php$", "~* \\.(gif|jpg)$", "/a/", "/a/b", "= /",
    "~ ^/user/(?<id>\\d+)$", "/sp ace/",
]  # fmt: skip
URIS = [
    "/", "/exact", "/exact/", "/exactly", "/images/x.gif", "/images/thumbs/y.gif", "/images/a.php", "/x.php", "/x.PHP",
    "/y.GIF", "/a", "/a/", "/a/b", "/a/bc",
    "/a//b", "/a/./b", "/a/../exact", "/user/12", "/user/12a", "/%65xact", "/sp%20ace/x", "/a/b?x=/exact", "/nested/x.php",
    "/nested/deep/y", "/nested/deep/x.gif",
    "/prefix/images/x.gif", "//exact", "/a/..", "/a/b/.", "/user/1%0a",
]  # fmt: skip
HOSTS = [
    "one.example.com", "ONE.example.com.", "two.example.com", "x.long.example.com", "www.example.org", "www.example.com",
    "dotted.org", "a.dotted.org",
    "r12.example.net", "rx.example.net", "unknown", "example.com", "one.example.com:8080",
]  # fmt: skip


def servers(ending: str, seed: int) -> str:
    """Return servers with the same locations; `ending` is the content of a location, with `%s` for its name."""
    out = []
    chance = random.Random(seed)
    for number, names in enumerate(NAMES):
        places = chance.sample(LOCATIONS, chance.randrange(1, len(LOCATIONS)))
        lines = []
        for place in places:
            modifier, _, name = place.rpartition(" ") if "/sp" not in place else ("", "", place)
            lines.append(f'location {modifier} "{name}" {{ {ending % f"{number} {LOCATIONS.index(place)}"} }}')
        lines.append(
            f"location /nested/ {{ {ending % f'{number} /nested/'} location ~ \\.php$ {{ {ending % f'{number} nested php'} }}"
            f" location /nested/deep/ {{ {ending % f'{number} deep'} location ~ gif {{ {ending % f'{number} deep gif'} }} }} }}"
        )
        quoted = " ".join(f'"{name}"' for name in names)
        is_default = " default_server" if number == 3 else ""
        out.append(f"server {{ listen unix:FOLDER/m.sock{is_default}; server_name {quoted}; {' '.join(lines)} }}")
    return "\n".join(out)


@pytest.mark.parametrize("seed", range(4))
def test_requests_take_the_route_that_nginx_takes(tmp_path: Path, seed: int) -> None:
    routed = servers('proxy_set_header X "%s"; proxy_pass http://127.0.0.1:1;', seed)
    text = f"events {{}}\nhttp {{ {routed} }}".replace("FOLDER", str(tmp_path))
    configuration = load(lambda _: text.encode(), lambda _: [], "/e/nginx.conf")
    assert not configuration.problems
    complete = Matcher(configuration.routes, configuration.servers)
    by_routes = Matcher(configuration.routes)
    with oracle.running(tmp_path, servers('return 200 "%s";', seed).replace("FOLDER", str(tmp_path))):
        for host, uri in itertools.product(HOSTS, URIS):
            status, body = oracle.ask(tmp_path / "m.sock", uri, host)
            for matcher in (complete, by_routes):
                found = matcher.find(host, uri)
                assert (found.headers[0][1] if found else "none") == (body if status == 200 else "none"), (host, uri)
