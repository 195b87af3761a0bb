"""The meaning of a configuration: targets, groups, variables, defaults by version, answers, logs, process settings."""

from __future__ import annotations

from itertools import product

import every
import pytest
from hypothesis import given
from hypothesis import strategies as st

from why502.config.configuration import Configuration
from why502.gateways.detect import kind
from why502.gateways.nginx.config import Matcher, load, parse, quote, route_for, units
from why502.gateways.nginx.config.variables import MAX_VALUES, expanded
from why502.model.base import decode, encode
from why502.model.config import Peer, Route
from why502.model.errors import Missing
from why502.model.target import Target


def meaning(text: str, **options: object) -> Configuration:
    def read(path: str) -> bytes:
        if path != "/etc/nginx/nginx.conf":
            raise Missing("no such file")
        return text.encode()

    return load(read, lambda _: [], "/etc/nginx/nginx.conf", **options)  # type: ignore[arg-type]


def http(text: str, **options: object) -> Configuration:
    return meaning(f"events {{}}\nhttp {{\n{text}\n}}\n", **options)


def only(text: str, **options: object) -> Route:
    """Return the route of a location with this content."""
    (route,) = http(f"server {{ location /x {{ {text} }} }}", **options).routes
    return route


@pytest.mark.parametrize(
    ("line", "protocol", "target", "uri", "proxy_host"),
    [
        ("proxy_pass http://127.0.0.1:3000;", "http", "127.0.0.1:3000", None, "127.0.0.1:3000"),
        ("proxy_pass http://localhost;", "http", "localhost:80", None, "localhost"),
        ("proxy_pass https://localhost/;", "https", "localhost:443", "/", "localhost"),
        ("proxy_pass HTTP://a.example:80/b?c;", "http", "a.example:80", "/b?c", "a.example"),
        ("proxy_pass http://[::1]:81/x;", "http", "[::1]:81", "/x", "[::1]:81"),
        ("proxy_pass http://[2001:db8::1];", "http", "[2001:db8::1]:80", None, "[2001:db8::1]"),
        ("proxy_pass http://unix:/run/a.sock;", "http", "unix:/run/a.sock", None, "localhost"),
        ("proxy_pass http://unix:/run/a.sock:/u/;", "http", "unix:/run/a.sock", "/u/", "localhost"),
        ("proxy_pass http://127.0.0.1:3000$request_uri;", "http", "127.0.0.1:3000", "$request_uri", "127.0.0.1:3000"),
        ("proxy_pass http://127.0.0.1:3000/a/$1?x=$arg_y;", "http", "127.0.0.1:3000", "/a/$1?x=$arg_y", "127.0.0.1:3000"),
        ("proxy_pass $scheme://127.0.0.1:3000;", "http", "127.0.0.1:3000", None, "127.0.0.1:3000"),
        ("fastcgi_pass unix:/run/php/php8.2-fpm.sock;", "fastcgi", "unix:/run/php/php8.2-fpm.sock", None, "localhost"),
        ("fastcgi_pass 127.0.0.1:9000;", "fastcgi", "127.0.0.1:9000", None, "127.0.0.1:9000"),
        ("uwsgi_pass uwsgi://127.0.0.1:3031;", "uwsgi", "127.0.0.1:3031", None, "127.0.0.1:3031"),
        ("uwsgi_pass unix:/run/u.sock;", "uwsgi", "unix:/run/u.sock", None, "localhost"),
        ("scgi_pass localhost:9000;", "scgi", "localhost:9000", None, "localhost:9000"),
        ("grpc_pass grpcs://g.example:50051;", "grpcs", "g.example:50051", None, "g.example:50051"),
        ("grpc_pass 127.0.0.1:50051;", "grpc", "127.0.0.1:50051", None, "127.0.0.1:50051"),
        ("memcached_pass 127.0.0.1:11211;", "memcached", "127.0.0.1:11211", None, "127.0.0.1:11211"),
    ],
)
def test_targets(line: str, protocol: str, target: str, uri: str | None, proxy_host: str) -> None:
    route = only(line)
    assert (route.protocol, str(route.peers[0].target), route.uri, route.proxy_host) == (protocol, target, uri, proxy_host)
    assert route.directive == line.split("_pass")[0] + "_pass"
    assert route.passes == line.split()[1].rstrip(";")
    assert route.has_variables == ("$" in line)
    assert decode(encode(route), Route) == route


def test_a_group_and_its_peers() -> None:
    configuration = http(
        "upstream App { zone z 64k; hash $uri consistent; keepalive 16; keepalive_timeout 5s; server a.example; "
        "server 127.0.0.1:1 weight=3 max_fails=0 fail_timeout=1m max_conns=7; server unix:/s down; server [::1]:2 backup; "
        "server b.example:81 resolve; }\nserver { location / { proxy_pass https://app/; } }"
    )
    (group,) = configuration.upstreams
    assert (group.name, group.zone, group.method, group.keepalive, group.keepalive_timeout_s) == ("App", "z", "hash", 16, 5.0)
    plain = {"at": None}
    assert [Peer(**{**{f: getattr(p, f) for f in Peer.__struct_fields__}, **plain}) for p in group.peers] == [
        Peer(name="a.example", target=Target(host="a.example", port=80)),
        Peer(name="127.0.0.1:1", target=Target(host="127.0.0.1", port=1), max_fails=0, fail_timeout_s=60.0, max_conns=7),
        Peer(name="unix:/s", target=Target(path="/s"), is_down=True),
        Peer(name="[::1]:2", target=Target(host="::1", port=2), is_backup=True),
        Peer(name="b.example:81", target=Target(host="b.example", port=81), resolves=True),
    ]
    (route,) = configuration.routes
    assert (route.upstream, route.peers, route.keepalive, route.keepalive_timeout_s) == ("App", group.peers, 16, 5.0)
    assert (group.at and group.at.line, group.keepalive_at and group.keepalive_at.line) == (3, 3)


@pytest.mark.parametrize(
    ("around", "inside", "targets", "upstream"),
    [
        ("set $b 127.0.0.1:1;", "proxy_pass http://$b/x;", ["127.0.0.1:1"], None),
        ("set $b http://127.0.0.1:1;", "proxy_pass ${b};", ["127.0.0.1:1"], None),
        ("set $b x; set $b g;", "proxy_pass http://$b;", ["127.0.0.1:7", "127.0.0.1:8"], "g"),
        ("set $b a:1;", "set $b b:2; proxy_pass http://$b;", ["b:2"], None),
        ("set $b a:1; if ($arg_x) { set $b b:2; }", "proxy_pass http://$b;", ["a:1", "b:2"], None),
        ("set $p 1; set $b 127.0.0.1:$p;", "proxy_pass http://$b;", ["127.0.0.1:1"], None),
        ("", "proxy_pass http://$host:80;", [None], None),
        ("", "proxy_pass http://$mapped;", ["127.0.0.1:7", "127.0.0.1:8", "10.0.0.1:80"], None),
        ("set $b $b;", "proxy_pass http://$b;", [None], None),
        ("set_by_lua_block $b { return '}' }", "proxy_pass http://$b;", [None], None),
        ("set $b a; auth_request_set $b $upstream_http_x;", "proxy_pass http://$b;", ["a:80"], None),
    ],
)
def test_variables(around: str, inside: str, targets: list[str | None], upstream: str | None) -> None:
    configuration = http(
        "upstream g { server 127.0.0.1:7; server 127.0.0.1:8; }\nmap $uri $mapped { hostnames; default g; ~x 10.0.0.1; }\n"
        f"server {{ {around} location / {{ {inside} }} }}"
    )
    (route,) = configuration.routes
    assert [peer.target and str(peer.target) for peer in route.peers] == targets
    assert (route.upstream, route.has_variables) == (upstream, True)
    assert configuration.problems == ()


def test_a_name_in_a_variable_is_resolved_for_each_request() -> None:
    assert [only(f"set $b {name}; proxy_pass http://$b;").peers[0].resolves for name in ("a.example", "127.0.0.1")] == [
        True,
        False,
    ]
    assert not only("proxy_pass http://a.example;").peers[0].resolves


def test_expansion_is_bounded() -> None:
    values = {name: tuple(f"{name}{i}$b$c$d" for i in range(100)) for name in "abcd"}
    assert len(expanded("$a$b$c$d", values)) <= MAX_VALUES


@pytest.mark.parametrize(
    ("version", "http_version", "keepalive"),
    [("", "1.0", 0), ("1.22.1", "1.0", 0), ("1.29.6", "1.0", 0), ("1.29.7", "1.1", 32), ("1.31.0", "1.1", 32)],
)
def test_defaults_by_version(version: str, http_version: str, keepalive: int) -> None:
    configuration = http("upstream g { server a; } server { location / { proxy_pass http://g; } }", version=version)
    assert (configuration.routes[0].http_version, configuration.routes[0].keepalive) == (http_version, keepalive)


def test_defaults_and_explicit_settings() -> None:
    route = only("proxy_pass http://a;")
    assert (route.connect_timeout_s, route.send_timeout_s, route.read_timeout_s) == (60.0, 60.0, 60.0)
    assert (route.buffer_size_bytes, route.buffers_count, route.buffer_bytes) == (4096, 8, 4096)
    assert (route.host_header, route.next_upstream, route.resolver) == (
        "$proxy_host",
        ("error", "timeout"),
        (),
    )
    assert (route.listens, route.server_names, route.setting("proxy_read_timeout")) == (("*:80",), (), None)
    route = only(
        "proxy_pass https://a; proxy_connect_timeout 500ms; proxy_read_timeout 1m30s; proxy_buffer_size 16k; "
        "proxy_buffers 4 32k; "
        "proxy_busy_buffers_size 64k; proxy_buffering off; proxy_next_upstream http_502 off; proxy_next_upstream_tries 2; "
        "proxy_ssl_server_name on; proxy_ssl_name n; proxy_ssl_verify on; proxy_ssl_certificate c; proxy_set_header host $host; "
        "resolver 10.0.0.1 [::1]:53 valid=3s ipv6=off; limit_req zone=a burst=3; error_page 502 /a; error_page 503 504 =200 /b;"
    )
    assert (route.connect_timeout_s, route.read_timeout_s, route.buffer_size_bytes) == (0.5, 90.0, 16384)
    assert (route.buffers_count, route.buffer_bytes) == (4, 32768)
    assert (route.next_upstream, route.next_upstream_tries, route.host_header) == (("http_502", "off"), 2, "$host")
    assert (route.sends_sni, route.sni_name, route.verifies_tls, route.has_client_certificate) == (True, "n", True, True)
    assert route.resolver == ("10.0.0.1", "[::1]:53")
    assert [setting.args for setting in route.settings["error_page"]] == [("502", "/a"), ("503", "504", "=200", "/b")]
    assert route.setting("limit_req") is not None


def test_fastcgi_has_settings_of_its_own() -> None:
    route = only("proxy_read_timeout 1s; fastcgi_read_timeout 2s; fastcgi_param A b; proxy_set_header C d; fastcgi_pass a:1;")
    assert (route.read_timeout_s, route.headers, route.http_version, route.host_header) == (2.0, (("A", "b"),), "", "$http_host")


def test_rules_of_access_are_inherited_together() -> None:
    (route,) = http("deny all; server { allow 10.0.0.1; location / { proxy_pass http://a; } }").routes
    assert "deny" not in route.settings
    assert [setting.args for setting in route.settings["allow"]] == [("10.0.0.1",)]


def test_conditions_are_shown_without_their_parentheses() -> None:
    lines = (
        'if ($a ~ (x)) { return 503; } if ( $b = "" ) { return 503; } if (!-f /x) { return 503; }',
        "$a ~ (x)",
        "$b =",
        "!-f /x",
    )
    configuration = http(f"server {{ {lines[0]} }}")
    assert [answer.if_conditions for answer in configuration.answers] == [(line,) for line in lines[1:]]


def test_answers() -> None:
    configuration = http(
        "server { server_name s; if (-f /maintenance) { return 503; } return 301 /; location / { try_files $uri =404; } "
        "location = /a { return 444; } location /b { allow 10.0.0.1; deny all; limit_except GET { deny all; } } "
        "location /c { return https://x/; } location /d { deny 10.0.0.2; return 200 ok; } location @m { return 503 'later'; } }"
    )
    assert [(answer.server, answer.location, answer.status, answer.if_conditions) for answer in configuration.answers] == [
        ("s", "", 503, ("-f /maintenance",)),
        ("s", "/", 404, ()),
        ("s", "= /a", 444, ()),
        ("s", "/b", 403, ()),
        ("s", "/b", 403, ("limit_except GET",)),
        ("s", "@m", 503, ()),
    ]


def test_servers_and_listens() -> None:
    configuration = http(
        "server { listen 80; listen [::]:80 ipv6only=on; listen *:8080; listen 127.0.0.1; listen unix:/s; listen a.example:81; "
        "listen 9000-9010; listen [::1]; location /x { location /x/y { proxy_pass http://a; } } } "
        "server { listen 443 ssl default_server; server_name b *.b; location / { proxy_pass http://b; } }"
    )
    assert [str(target) for target in configuration.listens] == [
        "0.0.0.0:80", "[::]:80", "0.0.0.0:8080", "127.0.0.1:80", "unix:/s", "a.example:81", "[::1]:80", "0.0.0.0:443",
    ]  # fmt: skip
    first, second = configuration.servers
    assert [location.path for location in first.locations] == [("/x",), ("/x", "/x/y")]
    assert (second.names, second.listens) == (("b", "*.b"), ("443 ssl default_server",))
    assert [(route.location, route.location_path, route.listens_tls) for route in configuration.routes] == [
        ("/x/y", ("/x", "/x/y"), False),
        ("/", ("/",), True),
    ]
    assert configuration.routes[1].server_at == second.at


@pytest.mark.parametrize(
    ("written", "name"), [("/a", "/a"), ("=/a", "= /a"), ("~*x", "~* x"), ("~ x", "~ x"), ("^~/a", "^~ /a"), ("@n", "@n")]
)
def test_location_names(written: str, name: str) -> None:
    (route,) = http(f"server {{ location {written} {{ proxy_pass http://a; }} }}").routes
    assert route.location == name


def test_stream() -> None:
    configuration = meaning(
        "events {} stream { map $ssl_preread_server_name $n { db g; default 10.0.0.1:9; } upstream g { server a:1; "
        "server b:2 backup; } "
        "proxy_connect_timeout 1s; server { listen 5432; proxy_pass g; proxy_timeout 5s; } server { listen 443; "
        "proxy_pass $n; } }"
    )
    first, second = configuration.routes
    assert (first.protocol, first.upstream, first.connect_timeout_s, first.read_timeout_s) == ("tcp", "g", 1.0, 5.0)
    assert (first.buffer_size_bytes, first.keepalive, first.location, second.read_timeout_s) == (16384, 0, "", 600.0)
    assert [str(peer.target) for peer in second.peers] == ["a:1", "b:2", "10.0.0.1:9"]
    assert configuration.problems == ()


DEBIAN = ("--with-cc-opt=-g -O2", "--prefix=/usr/share/nginx", "--error-log-path=stderr",
"--http-log-path=/var/log/nginx/access.log",
          "--pid-path=/run/nginx.pid")  # fmt: skip


def test_logs_and_process_settings_of_the_build() -> None:
    configuration = http("server { }", build_arguments=DEBIAN)
    assert [(log.kind, log.goes_to, log.path, log.level, log.at) for log in configuration.logs] == [
        ("error", "stderr", "", "error", None),
        ("access", "file", "/var/log/nginx/access.log", "", None),
    ]
    assert (configuration.pid_file, configuration.user, configuration.worker_connections) == ("/run/nginx.pid", "nobody", 512)
    configuration = http("server { }", build_arguments=("--prefix=/opt/nginx", "--user=web"), prefix="/srv/n")
    assert [log.path for log in configuration.logs] == ["/srv/n/logs/error.log", "/srv/n/logs/access.log"]
    assert (configuration.pid_file, configuration.user) == ("/srv/n/logs/nginx.pid", "web")
    assert http("server { }").logs == ()
    assert [log.path for log in http("server { }", error_log="/tmp/e.log").logs] == ["/tmp/e.log"]


def test_places_of_logs() -> None:
    configuration = meaning(
        "user web group; worker_rlimit_nofile 100; pid p; events { worker_connections 99; } error_log "
        "syslog:server=unix:/dev/log warn; "
        "http { access_log /dev/stdout; error_log /dev/null; log_format x escape=none 'a'; server { access_log off; "
        "access_log a x; "
        "location /a { access_log syslog:server=10.0.0.1 combined; } location /b { access_log b X; error_log off crit; } } }",
        build_arguments=DEBIAN,
    )
    assert [(log.kind, log.goes_to, log.path, log.level, log.escape) for log in configuration.logs] == [
        ("error", "syslog", "", "warn", "default"),
        ("error", "stderr", "", "error", "default"),
        ("error", "off", "", "error", "default"),
        ("access", "off", "", "", "default"),
        ("access", "syslog", "", "", "default"),
        ("error", "file", "/usr/share/nginx/off", "crit", "default"),
        ("access", "file", "/usr/share/nginx/b", "", "none"),
    ]
    assert (configuration.user, configuration.worker_files_limit, configuration.worker_connections) == ("web", 100, 99)
    assert configuration.pid_file == "/usr/share/nginx/p"


def test_the_command_line_comes_first() -> None:
    configuration = http("server { }", command_line="error_log /tmp/g.log; daemon off;")
    assert [log.path for log in configuration.logs] == ["/tmp/g.log"]


def test_a_file_that_belongs_into_http_or_a_server() -> None:
    assert [route.passes for route in meaning("upstream a { server b; } server { location / { proxy_pass http://a; } }").routes]
    assert [route.location for route in meaning("location /x { proxy_pass http://a; }").routes] == ["/x"]


def test_internal_redirects_are_followed() -> None:
    configuration = http(
        "server { server_name a; index index.php; location / { try_files $uri $uri/ /index.php?$args; } "
        "location ~ \\.php$ { fastcgi_pass unix:/p; } location /app { try_files $uri @app; } location @app { "
        "proxy_pass http://b; } "
        "location /static { root /x; } location /loop { try_files $uri /loop; } }"
    )
    matcher = Matcher(configuration.routes, configuration.servers)
    found = {
        uri: route.location if (route := matcher.find("a", uri)) else None for uri in ("/", "/x", "/app/y", "/static/z", "/loop")
    }
    assert found == {"/": "~ \\.php$", "/x": "~ \\.php$", "/app/y": "@app", "/static/z": None, "/loop": None}


def test_the_server_if_the_port_is_known() -> None:
    configuration = http(
        "server { listen 80; server_name a; location / { proxy_pass http://one; } } "
        "server { listen 8080; server_name a; location / { proxy_pass http://two; } } "
        "server { listen 443 ssl; server_name b; return 404; } server { listen 443 ssl default_server; location / { "
        "proxy_pass http://three; } }"
    )
    matcher = Matcher(configuration.routes, configuration.servers)

    def passes(host: str, port: int | None = None, server: str | None = None) -> str | None:
        route = matcher.find(host, "/", port, server)
        return route.passes if route else None

    assert (passes("a", 80), passes("a", 8080), passes("a", 443), passes("zzz", 443)) == (
        "http://one", "http://two", "http://three", "http://three",
    )  # fmt: skip
    assert (passes("b", 443), passes("zzz", server="a"), passes("a")) == (None, "http://one", "http://one")
    found = route_for(configuration.routes, "a", "/")
    assert found and found.passes == "http://one"


def test_an_expression_that_could_take_for_ever_is_not_tried() -> None:
    configuration = http("server { location ~ ^/(a+)+$ { proxy_pass http://a; } location / { proxy_pass http://b; } }")
    matcher = Matcher(configuration.routes, configuration.servers)
    assert matcher.find("x", "/" + "a" * 40 + "b") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30.0), ("1m30s", 90.0), ("500ms", 0.5), ("1h 30m", 5400.0), ("2d", 172800.0), ("1M", 2592000.0), ("1s500ms", 1.5),
    ("1h30", 3630.0),
     ("", None), ("s", None), ("1s1m", None), ("1x", None), ("-1", None), ("1m1m", None)],
)  # fmt: skip
def test_times(text: str, seconds: float | None) -> None:
    assert units.time(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("4k", 4096), ("1M", 1 << 20), ("2g", 2 << 30), ("512", 512), ("", None), ("k", None), ("1kb", None)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert units.size(text) == size


def test_everything_can_be_written_down() -> None:
    configuration = http("server { server_name \\xff; location /\xe9 { proxy_pass http://a; } }")
    for part in (configuration.routes, configuration.servers, configuration.files, configuration.logs):
        assert encode(part)
    assert parse(b"\xff", "f").problems


KNOWN = [
        "server", "location", "if", "limit_except", "upstream", "map", "geo", "split_clients", "set", "return", "rewrite",
        "listen", "server_name", "try_files",
        "error_page", "index", "access_log", "error_log", "log_format", "proxy_pass", "fastcgi_pass", "grpc_pass", "uwsgi_pass",
        "proxy_set_header", "resolver",
        "proxy_read_timeout", "proxy_buffers", "proxy_next_upstream", "deny", "keepalive", "zone", "user", "pid",
        "worker_connections", "include", "http", "stream",
        "events", "content_by_lua_block", "proxy_ssl_name", "proxy_http_version", "keepalive_timeout", "worker_rlimit_nofile",
]  # fmt: skip
NAMES = st.sampled_from(KNOWN)
ARGS = st.lists(
    st.sampled_from(
        ["", "a", "$a", "${a}", "$", "/", "=", "~", "~*", "^~", "@a", "=404", "503", "99999999999999999999", "http://",
        "http://a", "http://$a", "http://a:b", "unix:",
         "http://unix:", "[", "[::1", "[::1]:1", "a:99999", "off", "on", "all", "~(", "~^(?<a>x)$", "*.a", ".a", "1x", "80",
         "80-90", "*", ":", "syslog:", "memory:1m",
         "escape=json", "combined", "weight=x", "fail_timeout=", "é", "\\", "²", "٣", "%00", "\x00"]
    ),
    max_size=4,
)  # fmt: skip
TREES = st.recursive(
    st.tuples(NAMES, ARGS).map(lambda pair: " ".join([pair[0], *map(quote, pair[1])]) + ";"),
    lambda inner: st.tuples(NAMES, ARGS, st.lists(inner, max_size=5)).map(
        lambda part: " ".join([part[0], *map(quote, part[1])]) + " {\n" + "\n".join(part[2]) + "\n}"
    ),
    max_leaves=25,
)


@given(st.lists(TREES, max_size=8).map("\n".join), st.booleans())
def test_any_configuration_is_read(text: str, is_http: bool) -> None:
    configuration = http(text, build_arguments=DEBIAN) if is_http else meaning(text)
    for part in (configuration.routes, configuration.servers, configuration.answers, configuration.logs, configuration.problems):
        assert encode(part)
    Matcher(configuration.routes, configuration.servers).find("a.example", "/a/../b?c")
    assert kind(text) in (None, "nginx", "haproxy", "apache")


@every.of(product(KNOWN, ["", '""', "a", "a b", "a b c", "$"], [";", "{}", "{ a; b c; }"]), "{} {}{}".format)
def test_any_directive_is_read(name: str, args: str, ending: str) -> None:
    line = f"{name} {args}{ending}"
    for around in (
        "%s",
        "http { %s }",
        "http { upstream u { %s } server { location / { proxy_pass http://u; %s } %s } }",
        "stream { server { %s } }",
    ):
        assert encode(meaning(around.replace("%s", line)).routes)


@pytest.mark.parametrize(
    ("line", "target", "passes"),
    [
        ("tunnel_pass 127.0.0.1:3128;", Target(host="127.0.0.1", port=3128), "127.0.0.1:3128"),
        ("tunnel_pass;", None, "$host:$request_port"),
    ],
)
def test_a_tunnel_is_a_route(line: str, target: Target | None, passes: str) -> None:
    route = only(line)
    assert (route.directive, route.protocol, route.passes) == ("tunnel_pass", "tunnel", passes)
    assert [peer.target for peer in route.peers if peer.target] == ([target] if target else [])
    assert route.has_variables is (target is None)
