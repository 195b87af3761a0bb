"""The indexes of a deployment that many rules share: each holds what looking at every route would find."""

from __future__ import annotations

import pytest
from lint_sample import found, given

from why502.deployment.files import Deployment, host_name

TEXT = """events {}
http {
    resolver 127.0.0.53;
    upstream app { server 127.0.0.1:1; server app.test:2 backup; }
    server {
        listen 80;
        error_page 502 /e;
        location / { proxy_pass http://app; proxy_read_timeout 5s; }
        location /a { proxy_pass https://shop.test; include a.inc; }
        location /b { fastcgi_pass unix:/run/b.sock; fastcgi_read_timeout 5s; }
        location /c { uwsgi_pass 10.0.0.1:3; }
    }
    server { listen 81; location / { include a.inc; proxy_pass http://0.0.0.0:4; } }
}
"""


@pytest.fixture
def deployment() -> Deployment:
    """Return a deployment with routes of several kinds."""
    files = {"/repo/nginx.conf": TEXT, "/repo/a.inc": "limit_req zone=z;"}
    (each,) = given(files, "", "/repo").deployments
    return each


@pytest.mark.parametrize("protocols", [("http",), ("https", "fastcgi"), ("grpc",)])
def test_routes_of_protocols(deployment: Deployment, protocols: tuple[str, ...]) -> None:
    assert deployment.routes_of(*protocols) == tuple(route for route in deployment.routes if route.protocol in protocols)


@pytest.mark.parametrize("names", [("limit_req",), ("error_page", "limit_req"), ("resolver",), ("gzip",)])
def test_routes_with_a_directive_in_force(deployment: Deployment, names: tuple[str, ...]) -> None:
    expected = tuple(route for route in deployment.routes if any(name in route.settings for name in names))
    assert deployment.routes_with(*names) == expected


def test_routes_with_a_setting_of_their_modules(deployment: Deployment) -> None:
    assert [route.location for route in deployment.routes_setting("read_timeout")] == ["/", "/b"]
    assert deployment.routes_setting("send_timeout") == ()


def test_peers_that_are_names_and_those_of_this_machine(deployment: Deployment) -> None:
    every = [(route, peer) for route in deployment.routes for peer in deployment.peers(route)]
    assert deployment.named_peers == tuple((route, peer, host_name(peer)) for route, peer in every if host_name(peer))
    assert [str(target) for _, _, target in deployment.local_peers] == ["127.0.0.1:1", "unix:/run/b.sock", "0.0.0.0:4"]


def test_the_block_of_a_route_in_a_file_that_several_servers_include(deployment: Deployment) -> None:
    levels = [deployment.level(route) for route in deployment.routes]
    assert [(level.around.at, level.args) for level in levels if level and level.around] == [
        (route.server_at, (route.location,)) for route in deployment.routes
    ]


def test_every_server_of_a_large_group_is_looked_at_for_each_kind_of_route() -> None:
    servers = " ".join(f"server 10.0.{number >> 8}.{number & 255}:{443 if number == 250 else 8443};" for number in range(300))
    places = "".join(f"location /{number} {{ proxy_pass {'http' if number == 5 else 'https'}://big; }}" for number in range(9))
    text = f"events {{}} http {{ upstream big {{ {servers} }} server {{ listen 80; {places} }} }}"
    told = [risk.message for risk in found({"/repo/nginx.conf": text}, "", "/repo") if risk.rule == "W502-031"]
    assert told == ["plain HTTP is sent to port 443 of 10.0.0.250"]
