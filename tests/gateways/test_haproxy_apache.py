"""Backends and timeouts in a haproxy.cfg and an httpd configuration, complete and partial."""

from __future__ import annotations

import math
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from why502.collectors.other_proxies import part
from why502.gateways import detect
from why502.gateways.apache import config as apache
from why502.gateways.haproxy import config as haproxy
from why502.gateways.tallies import settled
from why502.host.local import LocalHost
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target
from why502.probing.plan import plan

HAPROXY = """\
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout server 1500
frontend web
    bind *:80
    default_backend app
backend app
    balance roundrobin
    server app1 10.0.0.5:8080 check weight 3   # the first
    server app2 [2001:db8::1]:8080 check backup
    server app3 unix@/run/app.sock disabled
listen secure
    bind :8443
    timeout server 2m
    server s1 10.0.0.7:443 ssl verify required
"""
SERVER_TLS = """\
global
    ca-base /etc/haproxy/ca
    crt-base /etc/haproxy/crt
defaults
    mode http
backend named
    server a 10.0.0.7:443 ssl verify required ca-file /etc/haproxy/own.pem verifyhost a.internal sni str(b.internal)
backend inherited
    default-server ssl verify required ca-file own.pem crt me.pem
    server a 10.0.0.7:443
    server b 10.0.0.8:443 check
backend different
    server a 10.0.0.7:443 ssl verify required ca-file /a.pem
    server b 10.0.0.8:443 ssl verify required ca-file /b.pem
backend unverified
    server a 10.0.0.7:443 ssl verify none ca-file /a.pem send-proxy-v2
backend by-default
    server a 10.0.0.7:443 ssl ca-file ca.pem
backend system
    server a 10.0.0.7:443 ssl verify required ca-file @system-ca sni req.hdr(host)
"""
APACHE = """\
ProxyTimeout 20
<VirtualHost *:80>
  ServerName shop.example.com
  ProxyPass /api http://127.0.0.1:3001/ timeout=5 \\
      connectiontimeout=500ms
  ProxyPassReverse /api http://127.0.0.1:3001/
  <Proxy "balancer://app">
    BalancerMember http://10.0.0.5:8080 retry=5
    BalancerMember http://10.0.0.6:8080 status=+H
  </Proxy>
  ProxyPass / balancer://app/
  <Location "/legacy">
    ProxyPass "ajp://127.0.0.1/"
  </Location>
  <FilesMatch \\.php$>
    SetHandler "proxy:unix:/run/php/php-fpm.sock|fcgi://localhost/"
  </FilesMatch>
</VirtualHost>
"""


def test_haproxy() -> None:
    assert detect.kind(HAPROXY) == "haproxy"
    web, secure = haproxy.load(HAPROXY, "haproxy.cfg").routes
    assert (web.server, web.listens, web.upstream, web.protocol) == ("web", ("*:80",), "app", "http")
    assert (web.connect_timeout_s, web.read_timeout_s) == (5.0, 1.5)
    assert [(peer.label, str(peer.target), peer.is_backup, peer.is_down) for peer in web.peers] == [
        ("app1", "10.0.0.5:8080", False, False),
        ("app2", "[2001:db8::1]:8080", True, False),
        ("app3", "unix:/run/app.sock", False, True),
    ]
    assert (secure.server, secure.protocol, secure.verifies_tls, secure.read_timeout_s) == ("secure", "https", True, 120.0)
    assert str(web.at) == "haproxy.cfg:12"


def test_apache() -> None:
    assert detect.kind(APACHE) == "apache"
    api, balanced, legacy, php = apache.load(APACHE, "httpd.conf").routes
    assert (api.server, api.location, str(api.peers[0].target)) == ("shop.example.com", "/api", "127.0.0.1:3001")
    assert (api.read_timeout_s, api.connect_timeout_s) == (5.0, 0.5)
    assert [(str(peer.target), peer.is_backup) for peer in balanced.peers] == [("10.0.0.5:8080", False), ("10.0.0.6:8080", True)]
    assert balanced.read_timeout_s == 20.0
    assert (legacy.location, legacy.protocol, str(legacy.peers[0].target)) == ("/legacy", "ajp", "127.0.0.1:8009")
    assert (php.protocol, str(php.peers[0].target)) == ("fastcgi", "unix:/run/php/php-fpm.sock")


def test_a_part_of_a_file() -> None:
    (route,) = haproxy.load("    balance roundrobin\n    server a 10.0.0.5:80 check\n", "part").routes
    assert str(route.peers[0].target) == "10.0.0.5:80"
    (route,) = apache.load("ProxyPass / http://127.0.0.1:3001/", "part").routes
    assert str(route.peers[0].target) == "127.0.0.1:3001"


def test_a_member_that_the_log_names_gets_its_address() -> None:
    found = haproxy.load(HAPROXY, "haproxy.cfg")
    proxy = Proxy(kind="haproxy", upstreams=found.upstreams, routes=found.routes)
    summary = LogSummary(
        tallies=tuple(
            Tally(symptom=Symptom.CONNECT_REFUSED, proxy="haproxy", group=group) for group in ("app/app1", "app/<NOSRV>")
        )
    )
    assert [tally.target for tally in settled(summary, (proxy,)).tallies] == [Target(host="10.0.0.5", port=8080), None]


@given(st.text(st.sampled_from("<>/ \n\\\"'#=%$:.abcProxySetHandlerBalancerMemberserverlistenbackend0123456789"), max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_text_has_an_answer(text: str) -> None:
    haproxy.load(text, "x")
    apache.load(text, "x")
    apache.load("<Proxy balancer://a>\n" + text, "x")


def test_directives_of_nginx_without_a_block(tmp_path: Path) -> None:
    path = tmp_path / "part.conf"
    path.write_text("proxy_pass http://127.0.0.1:3001;\nproxy_read_timeout 5s; # short")
    proxy = part(LocalHost(), str(path))
    assert proxy is not None
    (route,) = proxy.routes
    assert (str(route.peers[0].target), route.read_timeout_s, str(route.at)) == ("127.0.0.1:3001", 5.0, f"{path}:1")
    path.write_text("user nginx;\n")
    assert part(LocalHost(), str(path)) is None


def test_a_server_is_verified_as_configured_on_its_line():
    found = {route.passes: route for route in haproxy.load(SERVER_TLS, "haproxy.cfg").routes}
    sent = {name: plan(Proxy(kind="haproxy"), route, Target(host="10.0.0.7", port=443)).tls for name, route in found.items()}
    told = {name: (tls.verifies, tls.trusted, tls.name, tls.sni, tls.certificate) for name, tls in sent.items() if tls}
    assert told == {
        "named": (True, "/etc/haproxy/own.pem", "a.internal", "b.internal", ""),
        "inherited": (True, "/etc/haproxy/ca/own.pem", "", "", "/etc/haproxy/crt/me.pem"),
        "different": (False, "", "", "", ""),
        "unverified": (False, "/a.pem", "", "", ""),
        "by-default": (True, "/etc/haproxy/ca/ca.pem", "", "", ""),
        "system": (True, "/etc/ssl/certs/ca-certificates.crt", "", "", ""),
    }
    assert {name for name, route in found.items() if route.setting("send-proxy")} == {"unverified"}


def test_without_a_file_of_issuers_nothing_is_verified():
    route = haproxy.load("backend b\n  mode http\n  server s 10.0.0.7:443 ssl verify required\n", "haproxy.cfg").routes[0]
    tls = plan(Proxy(kind="haproxy"), route, Target(host="10.0.0.7", port=443)).tls
    assert tls is not None
    assert not tls.verifies


def test_without_a_timeout_nothing_limits_the_wait():
    route = haproxy.load("backend b\n  server s 10.0.0.7:80\n", "haproxy.cfg").routes[0]
    sent = plan(Proxy(kind="haproxy"), route, Target(host="10.0.0.7", port=80))
    assert (sent.route_read_s, sent.route_connect_s) == (math.inf, math.inf)
