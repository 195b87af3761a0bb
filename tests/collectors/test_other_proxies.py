"""Configurations that the user names, of gateways other than nginx."""

from __future__ import annotations

from pathlib import Path

import pytest

from why502.collectors.other_proxies import given
from why502.host.local import LocalHost
from why502.model.snapshot import Gap

CADDYFILE = "shop.example {\n\tencode zstd gzip\n\treverse_proxy 127.0.0.1:3000 {\n\t\thealth_uri /up\n\t}\n}\n"
CADDY_JSON = (
    '{"apps":{"http":{"servers":{"srv0":{"listen":[":443"],"routes":[{"handle":[{"handler":"reverse_proxy",'
    '"upstreams":[{"dial":"127.0.0.1:3000"}]}]}]}}}}}'
)
TRAEFIK_TOML = (
    '[http.routers.shop]\n  rule = "Host(`shop.example`)"\n  service = "app"\n'
    '[http.services.app.loadBalancer]\n  [[http.services.app.loadBalancer.servers]]\n    url = "http://127.0.0.1:3000"\n'
)
TRAEFIK_YAML = (
    "http:\n  routers:\n    shop:\n      rule: Host(`shop.example`)\n      service: app\n"
    "  services:\n    app:\n      loadBalancer:\n        servers:\n          - url: http://127.0.0.1:3000\n"
)
ENVOY = """\
static_resources:
  listeners:
    - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                route_config:
                  virtual_hosts:
                    - {name: shop, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}
  clusters:
    - name: app
      load_assignment:
        cluster_name: app
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3000}}}}]}]
"""
VCL = 'vcl 4.1;\nbackend default { .host = "127.0.0.1"; .port = "3000"; }\n'
HITCH = 'frontend = "[*]:443"\nbackend = "[127.0.0.1]:3000"\npem-file = "/etc/hitch/x.pem"\n'
HAPROXY = "defaults\n  mode http\nfrontend web\n  bind :80\n  default_backend app\nbackend app\n  server a 127.0.0.1:3000\n"
APACHE = "<VirtualHost *:80>\nProxyPass / http://127.0.0.1:3000/\n</VirtualHost>\n"


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("caddy", "Caddyfile", CADDYFILE),
        ("caddy", "caddy.json", CADDY_JSON),
        ("traefik", "dynamic.toml", TRAEFIK_TOML),
        ("traefik", "dynamic.yml", TRAEFIK_YAML),
        ("envoy", "envoy.yaml", ENVOY),
        ("varnish", "default.vcl", VCL),
        ("hitch", "hitch.conf", HITCH),
        ("haproxy", "haproxy.cfg", HAPROXY),
        ("apache", "httpd.conf", APACHE),
    ],
)
def test_a_named_file_is_read_as_its_products(tmp_path: Path, kind: str, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    gaps: list[Gap] = []
    proxy = given(LocalHost(), str(path), gaps)
    assert proxy is not None and proxy.kind == kind and not gaps
    assert [str(peer.target) for route in proxy.routes for peer in route.peers] == ["127.0.0.1:3000"]


def test_the_files_that_it_names_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "dynamic.toml").write_text(TRAEFIK_TOML)
    static = tmp_path / "traefik.yml"
    static.write_text(f'entryPoints:\n  web:\n    address: ":80"\nproviders:\n  file:\n    filename: {tmp_path}/dynamic.toml\n')
    gaps: list[Gap] = []
    proxy = given(LocalHost(), str(static), gaps)
    assert proxy is not None and not gaps and [route.listens for route in proxy.routes] == [(":80",)]
    assert [file.path for file in proxy.files] == [str(static), f"{tmp_path}/dynamic.toml"]


@pytest.mark.parametrize("text", ["", "hello world\n", '{"a": 1}\n', "services:\n  web:\n    image: traefik\n"])
def test_any_other_file_is_left_to_nginx(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    assert given(LocalHost(), str(path), []) is None
