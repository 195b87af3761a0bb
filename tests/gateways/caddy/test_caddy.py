"""Caddy's configuration in both forms, its log matched to it, and a real running process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.diagnosis.index import placed, ways_of
from why502.gateways.caddy import config as caddy
from why502.model.logs import Symptom, Tally
from why502.model.snapshot import Proxy
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
