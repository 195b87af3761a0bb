"""httpd's configuration as httpd sees it: includes, conditions, variables, macros, worker sharing; and its lossless tree."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from why502.config import edit
from why502.config.configuration import Configuration
from why502.config.tree import nodes, text
from why502.diagnosis.upgrades import passes_upgrade
from why502.gateways.apache.config import finder, load, parse, together
from why502.gateways.apache.config.directives import defined_by
from why502.gateways.apache.config.load import SHARED
from why502.gateways.apache.config.parse import quote
from why502.gateways.apache.tallies import settled
from why502.model.config import LogPlace, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

SHOP = """\
ServerRoot /etc/httpd
Define PORT 3001
Timeout 300
LoadModule proxy_module m.so
LogFormat "%h %>s" short
ErrorLog logs/error_log
<IfModule mod_absent.c>
  ProxyPass /never http://127.0.0.1:1/
</IfModule>
<IfDefine !LEGACY>
  Include conf.d/*.conf
</IfDefine>
<Macro Backend $path $port>
  ProxyPass $path http://127.0.0.1:$port/
</Macro>
<VirtualHost *:80>
  ServerAlias www.shop.example
  ServerName shop.example
  CustomLog "|/usr/bin/rotatelogs /var/log/a.%Y 86400" short
  ProxyTimeout 20
  ProxyPass /static !
  ProxyPass "/api" "http://127.0.0.1:${PORT}/api" timeout=5 connectiontimeout=500ms
  ProxyPass "/api2" "http://127.0.0.1:${PORT}/api/v2" timeout=50
  <Proxy "balancer://app">
    BalancerMember "http://10.0.0.5:8080" route=one timeout=7 hcmethod=GET hcuri=/up
    BalancerMember "http://10.0.0.6:8080" status=+H timeout=7 max=20
    ProxySet lbmethod=bybusyness
  </Proxy>
  ErrorDocument 503 /sorry.html
  ProxyPass "/app" "balancer://app/" stickysession=S
  <FilesMatch "\\.php$">
    <If "-f %{REQUEST_FILENAME}">
      SetHandler "proxy:unix:/run/fpm.sock|fcgi://localhost/"
    </If>
  </FilesMatch>
  <Proxy "fcgi://localhost/">
    ProxySet timeout=99
  </Proxy>
  RewriteCond %{HTTP:Upgrade} websocket [NC]
  RewriteRule ^/(.*)$ "ws://127.0.0.1:3002/$1" [P,L]
  RewriteRule ^/old - [R=503,L]
</VirtualHost>
<VirtualHost *:80>
  ServerName second.example
  Use Backend /x 4000
  Redirect 503 /down
</VirtualHost>
"""
PART = "ProxyPass /part http://127.0.0.1:5000/ \\\n  timeout=8\n"


def read(defined: tuple[str, ...] = ()) -> Configuration:
    """Return the configuration in both files."""
    return together([("/etc/httpd/conf/httpd.conf", SHOP), ("/etc/httpd/conf.d/part.conf", PART)], {}, defined)


def routes(defined: tuple[str, ...] = ()) -> dict[str, Route]:
    """Return the routes by location."""
    return {route.location: route for route in read(defined).routes}


def test_includes_conditions_and_macros() -> None:
    found = routes()
    assert "/never" not in found
    assert (found["/part"].read_timeout_s, str(found["/part"].at)) == (8.0, "/etc/httpd/conf.d/part.conf:1")
    assert (found["/x"].server, str(found["/x"].peers[0].target)) == ("second.example", "127.0.0.1:4000")
    assert list(defined_by(["apache2", "-D", "FOREGROUND", "-DLEGACY"])) == ["FOREGROUND", "LEGACY"]


def test_timeouts_are_those_of_the_worker_then_of_the_host() -> None:
    found = routes()
    assert (found["/api"].read_timeout_s, found["/api"].connect_timeout_s) == (5.0, 0.5)
    assert found["/app"].read_timeout_s == 7.0
    assert found["/x"].read_timeout_s == 300.0
    assert found["\\.php$"].read_timeout_s == 99.0  # of a worker that is defined further down
    assert found["\\.php$"].if_conditions == ("-f %{REQUEST_FILENAME}",)


def test_a_worker_that_begins_the_url_is_shared() -> None:
    second = routes()["/api2"]
    assert second.read_timeout_s == 5.0
    assert second.settings[SHARED][0].args == ("http://127.0.0.1:3001/api", "timeout=50")
    other = load("ProxyPass /a http://h:80/\nProxyPass /b http://h:8080/ timeout=3\n", "x").routes[1]
    assert (other.read_timeout_s, SHARED in other.settings) == (3.0, False)


def test_the_host_that_the_backend_gets() -> None:
    one = "ProxyPass / http://10.0.0.7:3000/\n"

    def sent(lines: str) -> str:
        return load(lines, "x").routes[0].host_header

    assert sent(one) == sent(f"ProxyPreserveHost Off\n{one}") == "$proxy_host"
    assert sent(f"ProxyPreserveHost On\n{one}") == "$host"
    assert sent(f"ProxyPreserveHost On\nRequestHeader set Host app.example\n{one}") == "app.example"


def test_members_of_a_balancer() -> None:
    first, second = routes()["/app"].peers
    assert (first.label, first.check, second.is_backup, second.max_conns, second.check) == ("one", "GET /up", True, 20, "")
    assert [(group.name, group.method) for group in read().upstreams] == [("app", "bybusyness")]


def test_rules() -> None:
    found = {(answer.server, answer.location): answer.status for answer in read().answers}
    assert found == {("shop.example", ""): 503, ("second.example", "/down"): 503}
    socket = routes()["^/(.*)$"]
    assert (socket.protocol, str(socket.peers[0].target)) == ("http", "127.0.0.1:3002")


def test_a_rule_for_websockets_takes_no_other_request() -> None:
    _, find = finder(Proxy(kind="apache", routes=read().routes))
    route = find("/api/items", "shop.example", True)
    assert route is not None and route.location == "/api"
    assert find("/static/x.css", "shop.example", False) is None


def test_logs_have_their_host_and_format() -> None:
    error, access = read().logs
    assert (error.path, error.server, error.kind) == ("/etc/httpd/logs/error_log", "", "error")
    assert (access.server, access.format, access.path[:1]) == ("shop.example", "%h %>s", "|")
    (stream,) = load("ErrorLog /proc/self/fd/2\n", "x").logs
    assert stream.goes_to is LogPlace.STDERR


def test_verification_of_the_backend() -> None:
    lines = "SSLProxyVerify require\nSSLProxyCACertificateFile /ca.pem\nProxyPass / https://app.internal:8443/\n"
    (route,) = load(lines, "x").routes
    assert (route.verifies_tls, route.sni_name) == (True, "app.internal")
    assert route.settings["ProxyPass_ssl_trusted_certificate"][0].args == ("/ca.pem",)
    assert not load("ProxyPass / https://10.0.0.1/\n", "x").routes[0].sends_sni


@given(st.binary(max_size=200) | st.text("ab\\\"'#$ {}<>/\n\tV-*\r\xff", max_size=80).map(lambda x: x.encode("latin-1")))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_kept(content: bytes) -> None:
    assert text(parse(content, "f")) == content


def test_an_edit_changes_one_word() -> None:
    tree = parse(SHOP.encode(), "/h.conf")
    line = next(node for node in nodes(tree) if node.args[:1] == ("/api",))
    change = edit.replace_argument(tree, line.at, 2, quote("http://127.0.0.1:4000/api"))
    assert edit.apply(SHOP.encode(), [change]).decode() == SHOP.replace(
        '"/api" "http://127.0.0.1:${PORT}/api"', '"/api" http://127.0.0.1:4000/api'
    )


def test_what_httpd_refuses_is_a_problem() -> None:
    assert [problem.message for problem in parse(b"<Location /x\n</Files>\n<If a>\n", "f").problems] == [
        "<Location /x directive missing closing '>'",
        "</Files> without matching <files> section",
        "<If> was not closed.",
    ]


def test_includes_of_themselves_and_deep_blocks_end() -> None:
    assert together([("/a.conf", "Include /a.conf\nInclude /a.conf\nProxyPass / http://h/\n")], {}).routes
    assert text(parse(b"<Location />\n" * 200, "f")) == b"<Location />\n" * 200
    assert text(parse(b"\x1c\n\xa0", "f")) == b"\x1c\n\xa0"


def test_a_timeout_that_another_routes_worker_decides_is_told() -> None:
    text = "ProxyPass /shop/ http://127.0.0.1:3000/ timeout=1\nProxyPass /sleep/ http://127.0.0.1:3000/sleep/ timeout=30\n"
    read = load(text, "/a.conf")
    proxy = Proxy(kind="apache", routes=read.routes, upstreams=read.upstreams)
    target = Target(host="127.0.0.1", port=3000)

    def told(path: str) -> list[str]:
        late = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="apache", target=target, requests=((f"GET {path}", 3),))
        found = settled(LogSummary(tallies=(late,)), (proxy,)).tallies
        return [tally.detail for tally in found if tally.symptom is Symptom.WORKER_SHARING]

    message = "timeout=30 at /a.conf:2 is ignored: the worker of /a.conf:1 has 1 s, and takes its requests"
    assert told("/sleep/2") == [message]
    assert told("/shop/x") == []


def test_a_status_without_a_path_answers_for_its_location() -> None:
    (answer,) = load("<Location /old>\n  Redirect 503\n</Location>\n", "/a.conf").answers
    assert (answer.location, answer.status) == ("/old", 503)


def test_which_routes_forward_upgrades() -> None:
    """The parameter of the worker or of all members says so; a rule for `ws:` of the same server takes them, too."""
    found = load(
        """\
<VirtualHost *:80>
  ServerName told
  ProxyPass /a http://127.0.0.1:3001/ upgrade=websocket
  ProxyPass /b http://127.0.0.1:3002/
  ProxyPass /c http://127.0.0.1:3006/ upgrade=NONE
</VirtualHost>
<VirtualHost *:80>
  ServerName rewritten
  RewriteEngine On
  RewriteCond %{HTTP:Upgrade} websocket [NC]
  RewriteRule ^/(.*) ws://127.0.0.1:3003/$1 [P,L]
  ProxyPass / http://127.0.0.1:3003/
</VirtualHost>
<VirtualHost *:80>
  ServerName grouped
  <Proxy balancer://app>
    BalancerMember http://127.0.0.1:3004 upgrade=websocket
    BalancerMember http://127.0.0.1:3005 upgrade=websocket
  </Proxy>
  ProxyPass / balancer://app/
</VirtualHost>
""",
        "httpd.conf",
    )
    told = {(route.server, route.passes.split("://")[1]): passes_upgrade(route) for route in found.routes}
    assert told == {
        ("told", "127.0.0.1:3001/"): True,
        ("told", "127.0.0.1:3002/"): False,
        ("told", "127.0.0.1:3006/"): False,
        ("rewritten", "127.0.0.1:3003/$1"): True,
        ("rewritten", "127.0.0.1:3003/"): True,
        ("grouped", "app/"): True,
    }
