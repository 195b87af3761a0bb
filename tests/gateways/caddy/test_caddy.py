"""Caddy's configuration in both forms, its log matched to it, and a real running process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.diagnosis.ways import placed, ways_of
from why502.gateways.caddy import config as caddy
from why502.model.logs import Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

SITES = """
{
  admin off
}
(shared) {
  log {
    output file /var/log/caddy/x.log {
      roll_size 1mb
    }
  }
}
shop.example, www.shop.example:8443 {  # two names
  import shared
  @ws path /ws
  handle /api/* {
    reverse_proxy /v2/* unix//run/api.sock {
      transport http {
        dial_timeout 500ms
        response_header_timeout 1m30s
        tls_insecure_skip_verify
      }
    }
  }
  reverse_proxy @ws h2c://10.0.0.1:9000 {$NAME} {
    to 10.0.0.2:80
  }
  php_fastcgi unix//run/php/php.sock
}
"""


def test_the_sites_of_a_caddyfile() -> None:
    found = caddy.load(SITES, "Caddyfile")
    api, sockets, php = found.routes
    assert (api.server_names, api.location, api.protocol) == (("shop.example", "www.shop.example"), "/v2/", "https")
    assert (api.connect_timeout_s, api.read_timeout_s, api.at and api.at.line) == (0.5, 90.0, 16)
    assert [peer.target for peer in api.peers] == [Target(path="/run/api.sock")]
    assert [peer.target for peer in sockets.peers] == [Target(host="10.0.0.1", port=9000), None, Target(host="10.0.0.2", port=80)]
    assert sockets.has_variables and sockets.protocol == "http"
    assert (php.protocol, php.connect_timeout_s) == ("fastcgi", 3.0)
    assert [(log.kind, log.path) for log in found.logs] == [("access", "/var/log/caddy/x.log")]


@pytest.mark.parametrize(
    ("text", "server", "target"),
    [
        (":80\nreverse_proxy :9000 # all of it\n", ":80", "localhost:9000"),
        ("reverse_proxy https://inner.example\n", "", "inner.example:443"),
        ('"a.example" {\n\treverse_proxy `10.0.0.3:81`\n}', "a.example", "10.0.0.3:81"),
        ("a.example {\n route {\n  handle_path /x* {\n   reverse_proxy [::1]:81\n  }\n }\n}", "a.example", "[::1]:81"),
    ],
)
def test_the_forms_of_a_site(text: str, server: str, target: str) -> None:
    (route,) = caddy.load(text, "Caddyfile").routes
    assert (route.server, str(route.peers[0].target)) == (server, target)


def test_the_json_form() -> None:
    handler = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": "10.0.0.4:82"}, {"dial": "unix//run/y.sock"}],
        "transport": {"protocol": "http", "dial_timeout": 1_500_000_000, "response_header_timeout": "4s"},
    }
    inner = {"handler": "subroute", "routes": [{"handle": [handler]}]}
    tree = {
        "apps": {"http": {"servers": {"one": {"routes": [{"handle": [inner]}]}}}},
        "logging": {"logs": {"a": {"writer": {"output": "file", "filename": "/var/log/a.log"}}, "b": {"writer": None}}},
    }
    found = caddy.load(json.dumps(tree), "caddy.json")
    (route,) = found.routes
    assert [str(peer.target) for peer in route.peers] == ["10.0.0.4:82", "unix:/run/y.sock"]
    assert (route.connect_timeout_s, route.read_timeout_s, route.protocol) == (1.5, 4.0, "http")
    assert [log.path for log in found.logs] == ["/var/log/a.log"]


@given(st.text(st.sampled_from('{}"`# \n\\/:@*()$.,abcreverse_proxy handle log import [1]'), max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_text_has_an_answer(text: str) -> None:
    caddy.load(text, "x")
    caddy.load("a.example {\nreverse_proxy " + text, "x")
    caddy.load("{" + text, "x")


def test_deep_blocks_and_loops_cost_no_more_than_their_text() -> None:
    assert len(caddy.load("handle {\n" * 5000 + "reverse_proxy 10.0.0.1:1", "x").routes) <= 1
    assert caddy.load('{"a":' * 5000, "x").routes == ()
    again = "(a) {\nimport a\nimport a\nreverse_proxy 10.0.0.1:1\n}\nx.example {\nimport a\n}"
    assert 1 <= len(caddy.load(again, "x").routes) <= 1000


def test_a_timeout_is_attributed_to_the_only_target() -> None:
    one = caddy.load(":80\nreverse_proxy 10.0.0.1:1\n", "x")
    two = caddy.load(":80\nreverse_proxy 10.0.0.1:1 10.0.0.2:1\n", "x")
    tallies = tuple(
        Tally(symptom=symptom, proxy=product)
        for symptom, product in (
            (Symptom.READ_TIMED_OUT, "caddy"),
            (Symptom.OWN_STATUS, "caddy"),
            (Symptom.READ_TIMED_OUT, "nginx"),
        )
    )
    for found, expected in ((one, [Target(host="10.0.0.1", port=1), None, None]), (two, [None, None, None])):
        proxy = Proxy(kind="caddy", pid=1, routes=found.routes)
        assert [tally.target for tally in placed(tallies, ways_of((proxy,)))] == expected


def test_other_text_has_no_routes(tmp_path: Path) -> None:
    assert caddy.load("", str(tmp_path)).routes == ()
    assert caddy.load("a.example {\n respond 503\n}", "x").routes == ()


def test_files_and_variables_are_read_as_one_configuration() -> None:
    main = """\
{
	admin unix//run/caddy.sock
}
(limits) {
	transport http {
		response_header_timeout {$LIMIT:7s}
		tls_server_name inner.example
		tls_trust_pool file /etc/ca.pem
	}
}
import sites/*.conf
api.example {
	@v1 {
		path /v1/*
	}
	reverse_proxy @v1 https://{$API}:8443 {
		import limits
		header_up Host {upstream_hostport}
		fail_duration 30s
		max_fails 3
	}
}
"""
    shop = "http://shop.example {\n\treverse_proxy 127.0.0.1:3001 127.0.0.1:3002\n}\n"
    texts = [("/etc/caddy/Caddyfile", main), ("/etc/caddy/sites/shop.conf", shop)]
    found = caddy.together(texts, {"API": "10.0.0.1"})
    one, api = found.routes
    assert (one.server_names, one.listens, one.listens_tls, one.upstream) == (
        ("shop.example",),
        (":80",),
        False,
        "127.0.0.1:3001 127.0.0.1:3002",
    )
    assert one.at is not None and one.at.file == "/etc/caddy/sites/shop.conf"
    assert (api.read_timeout_s, api.sni_name) == (7.0, "inner.example")
    assert (api.listens, api.listens_tls, api.location, api.host_header) == ((":443",), True, "/v1/", "$proxy_host")
    assert [(peer.target, peer.max_fails, peer.fail_timeout_s) for peer in api.peers] == [
        (Target(host="10.0.0.1", port=8443), 3, 30.0)
    ]
    assert [group.name for group in found.upstreams] == ["127.0.0.1:3001 127.0.0.1:3002", "https://10.0.0.1:8443"]
    assert caddy.together(texts, None).routes[1].peers[0].target is None  # what the variable holds is unknown
    assert caddy.admin_of(main, "/etc/caddy/Caddyfile")[0] == "unix//run/caddy.sock"
    assert caddy.together([], None).routes_elsewhere


def test_the_tls_of_a_transport() -> None:
    text = """\
a.example {
	reverse_proxy 10.0.0.1:8443 10.0.0.2:8443 {
		transport http {
			tls
			tls_server_name inner.example
			tls_trust_pool file /etc/ca.pem
		}
	}
	reverse_proxy /plain https://app.example {
		transport http {
			tls_insecure_skip_verify
		}
	}
}
"""
    known, unverified = caddy.load(text, "x").routes
    assert (known.protocol, known.verifies_tls, known.sni_name) == ("https", True, "inner.example")
    assert known.settings["reverse_proxy_ssl_trusted_certificate"][0].args == ("/etc/ca.pem",)
    assert (unverified.verifies_tls, unverified.sni_name, unverified.location) == (False, "app.example", "/plain")


def test_the_json_form_has_hosts_paths_and_listeners() -> None:
    handler = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": "10.0.0.4:82"}],
        "transport": {"protocol": "http", "tls": {"server_name": "inner", "ca": {"provider": "file", "pem_files": ["/ca.pem"]}}},
        "headers": {"request": {"set": {"Host": ["{http.reverse_proxy.upstream.hostport}"]}}},
        "health_checks": {"passive": {"fail_duration": "10s", "max_fails": 2}},
    }
    matched = {"match": [{"host": ["a.example"], "path": ["/api/*"]}, {"host": ["b.example"]}], "handle": [handler]}
    around = {"match": [{"host": ["c.example"]}], "handle": [{"handler": "subroute", "routes": [{"handle": [handler]}]}]}
    tree = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"s": {"listen": [":443"], "routes": [matched, around]}}}}}
    text = json.dumps(tree)
    found = caddy.load(text, "/etc/caddy/caddy.json")
    assert [(route.server, route.location) for route in found.routes] == [
        ("a.example", "/api/"),
        ("b.example", ""),
        ("c.example", ""),
    ]
    first = found.routes[0]
    assert (first.listens, first.listens_tls, first.protocol, first.host_header) == ((":443",), True, "https", "$proxy_host")
    assert first.peers[0].max_fails == 2 and first.settings["reverse_proxy_ssl_trusted_certificate"][0].args == ("/ca.pem",)
    assert caddy.admin_of(text, "x")[0] == "off"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "apps http servers routes handle handler upstreams dial match host path transport tls listen admin".split()
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_json_has_an_answer(tree: object) -> None:
    caddy.load(json.dumps({"apps": {"http": {"servers": {"a": tree, "b": {"routes": [tree]}}}}, "admin": tree}), "x")
    caddy.admin_of(json.dumps({"admin": tree}), "x")


def test_a_timeout_without_an_address_has_the_only_target_and_a_group_without_servers_its_name() -> None:
    found = caddy.load("http://a.example {\n\treverse_proxy 10.0.0.1:1 10.0.0.2:1\n}\n", "x")
    proxy = Proxy(kind="caddy", pid=1, routes=found.routes, upstreams=found.upstreams)
    nobody = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="caddy", server="a.example", requests=(("GET /", 1),))
    (result,) = placed((nobody,), ways_of([proxy]))
    assert (result.target, result.group) == (None, "10.0.0.1:1 10.0.0.2:1")
    named = caddy.load("http://a.example {\n\treverse_proxy app.internal:1\n}\n", "x")
    lost = Tally(symptom=Symptom.NAME_NOT_FOUND, proxy="caddy", server="a.example", requests=(("GET /", 1),))
    refused = Tally(symptom=Symptom.READ_TIMED_OUT, proxy="caddy", server="a.example", requests=(("GET /", 1),))
    results = placed((lost, refused), ways_of([Proxy(kind="caddy", pid=1, routes=named.routes)]))
    assert [each.target for each in results] == [Target(host="app.internal", port=1), None]
