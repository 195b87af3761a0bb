"""Envoy's configuration: bootstrap in YAML, files of a discovery service, running configuration, and the route of a request."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from why502.gateways.envoy import config as envoy
from why502.gateways.envoy.config import MISSING
from why502.model.config import SENDS_PROXY, Escape, LogPlace, Route
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target

FILE = "/etc/envoy/envoy.yaml"
TEXT = """\
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 0.0.0.0, port_value: 443}}
    filter_chains:
    - transport_socket: {name: tls, typed_config: {"@type": a.b.DownstreamTlsContext}}
      filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          streamIdleTimeout: 20s
          access_log:
          - {name: f, typed_config: {"@type": x.FileAccessLog, path: /var/log/envoy/access.log, log_format: {json_format: {startTime: "%START_TIME%"}}}}
          - {name: s, typed_config: {"@type": x.StdoutAccessLog}}
          - {name: g, typed_config: {"@type": x.HttpGrpcAccessLogConfig}}
          http_filters:
          - {name: authz, typed_config: {"@type": x.ExtAuthz, http_service: {server_uri: {uri: "http://a", cluster: authz, timeout: 1s}}}}
          route_config:
            virtual_hosts:
            - name: shop
              domains: [shop.example, "shop.example:*", "*.shop.example"]
              routes:
              - {match: {path: /health}, direct_response: {status: 503}}
              - {match: {prefix: /api/, headers: [{name: x-beta}]}, route: {cluster: h2, prefix_rewrite: /v2/}}
              - match: {prefix: /api/}
                route: {cluster: tls, timeout: 0s, idle_timeout: 7s, retry_policy: {retry_on: "5xx,reset", num_retries: 2}}
              - {match: {safe_regex: {regex: "/u/.*"}}, route: {weighted_clusters: {clusters: [{name: dns}, {name: unix}]}}}
              - {match: {prefix: /lost}, route: {cluster: nowhere}}
              - {match: {prefix: /}, route: {cluster: dns, auto_host_rewrite: true}}
            - {name: other, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster_header: x-to}}]}
  - name: raw
    address: {socket_address: {address: 127.0.0.1, port_value: 5432}}
    filter_chains: [{filters: [{name: t, typed_config: {"@type": x.TcpProxy, cluster: unix}}]}]
  clusters:
  - {name: authz, load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 4001}}}}]}]}}
  - name: dns
    type: STRICT_DNS
    connect_timeout: 0.25s
    circuit_breakers: {thresholds: [{max_connections: 2}]}
    load_assignment:
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {address: app.internal, port_value: 8080}
      - {priority: 1, lb_endpoints: [{health_status: DRAINING, endpoint: {address: {socket_address: {address: "::1", port_value: 81}}}}]}
  - {name: unix, load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/app.sock}}}}]}]}}
  - name: h2
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        explicit_http_config: {http2_protocol_options: {}}
        common_http_protocol_options: {idle_timeout: 5s, max_response_headers_kb: 4}
  - name: tls
    load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 443}}}}]}]}
    transport_socket:
      name: outer
      typed_config:
        "@type": x.ProxyProtocolUpstreamTransport
        config: {version: V2}
        transport_socket:
          name: inner
          typed_config:
            "@type": x.UpstreamTlsContext
            sni: app.internal
            common_tls_context:
              tls_certificates: [{certificate_chain: {filename: /c.pem}, private_key: {filename: /k.pem}}]
              validation_context:
                trusted_ca: {filename: /ca.pem}
                match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: app.internal}}]
"""


def routes(text: str = TEXT) -> dict[tuple[str, str], Route]:
    return {(route.location, route.passes): route for route in envoy.load(text, FILE).routes}


def test_listeners_become_routes_with_the_limits_that_end_a_request() -> None:
    found = routes()
    api = found["/api/", "tls"]
    assert api.server_names == ("shop.example", "*.shop.example")
    assert (api.listens, api.listens_tls) == (("0.0.0.0:443 ssl",), True)
    assert (api.connect_timeout_s, api.read_timeout_s) == (5.0, 7.0)
    assert (api.next_upstream, api.next_upstream_tries) == (("error", "timeout"), 3)
    assert found["/", "dns"].read_timeout_s == 15.0 and found["/", "dns"].next_upstream == ("off",)
    assert found["/", "dns"].host_header == "app.internal" and api.host_header == "$host"
    h2 = found["/api/", "h2"]
    assert (h2.protocol, h2.http_version, h2.uri, h2.if_conditions) == ("grpc", "2", "/v2/", ("headers x-beta",))
    assert (h2.buffer_size_bytes, h2.keepalive_timeout_s) == (4096, 5.0)
    assert found["/", "x-to"].has_variables and found["/", "x-to"].peers == ()
    assert {location for location, _ in found} >= {"~ /u/.*", "@ext_authz", ""}
    assert found["", "unix"].protocol == "tcp" and found["", "unix"].peers[0].target == Target.unix("/run/app.sock")
    at = found["/", "dns"].at
    assert at is not None and TEXT.encode()[at.start : at.end] == b"dns"


def test_clusters_become_groups() -> None:
    found = {group.name: group for group in envoy.load(TEXT, FILE).upstreams}
    first, second = found["dns"].peers
    assert first.target == Target(host="app.internal", port=8080) and first.resolves and not first.is_backup
    assert first.at is not None and TEXT.encode()[first.at.start : first.at.end] == b"8080"
    assert second.target == Target(host="::1", port=81) and second.is_backup and second.is_down
    assert found["h2"].peers == () and found["unix"].peers[0].name == "unix:/run/app.sock"
    assert routes()["/", "dns"].settings["max_connections"][0].args == ("2",)
    assert routes()["/", "dns"].connect_timeout_s == 0.25


def test_tls_to_a_cluster_is_verified_as_configured() -> None:
    api = routes()["/api/", "tls"]
    assert (api.protocol, api.verifies_tls, api.sends_sni, api.has_client_certificate) == ("https", True, True, True)
    words = {name: setting[0].args[0] for name, setting in api.settings.items() if name.startswith("cluster_ssl_")}
    assert words == {
        "cluster_ssl_trusted_certificate": "/ca.pem",
        "cluster_ssl_name": "app.internal",
        "cluster_ssl_verified_name": "app.internal",
        "cluster_ssl_certificate": "/c.pem",
        "cluster_ssl_certificate_key": "/k.pem",
    }
    assert api.settings[SENDS_PROXY][0].args == ("v2",)
    unverified = routes(TEXT.replace("trusted_ca: {filename: /ca.pem}", "trust_chain_verification: ACCEPT_UNTRUSTED"))
    assert not unverified["/api/", "tls"].verifies_tls


def test_answers_logs_and_the_admin_address() -> None:
    found = envoy.load(TEXT, FILE)
    assert [(answer.location, answer.status) for answer in found.answers] == [("= /health", 503)]
    file, output = found.logs
    assert (file.path, file.format, file.escape) == ("/var/log/envoy/access.log", '{"startTime":"%START_TIME%"}', Escape.JSON)
    assert file.flush_s == 10.0 and output.goes_to is LogPlace.STDERR and output.path == ""
    assert envoy.admin_address([(FILE, TEXT)]) == Target(host="127.0.0.1", port=9901)
    assert envoy.admin_address([(FILE, "node: {id: a}")]) is None


def test_a_route_to_a_cluster_that_no_file_has() -> None:
    assert routes()["/lost", "nowhere"].directive == MISSING
    discovered = TEXT + "dynamic_resources: {cds_config: {path_config_source: {path: cds.yaml}}}\n"
    assert ("/lost", "nowhere") not in routes(discovered)
    assert envoy.load(discovered, FILE).routes_elsewhere and not envoy.load(TEXT, FILE).routes_elsewhere


def test_files_of_a_discovery_service_are_read_together() -> None:
    main = "dynamic_resources: {lds_config: {path: lds.yaml}, cds_config: {pathConfigSource: {path: /x/cds.json}}}\nnode: {id: a}"
    assert list(envoy.paths(main, FILE)) == ["lds.yaml", "/x/cds.json"]
    assert list(envoy.paths("a: {sds_config: {path: /secret}, match: {path: /etc/shadow}}", FILE)) == []
    assert envoy.absolute("lds.yaml", "/etc/envoy") == "/etc/envoy/lds.yaml"
    lds = """
resources:
- "@type": type.googleapis.com/envoy.config.listener.v3.Listener
  address: {socket_address: {address: 0.0.0.0, port_value: 80}}
  filter_chains:
  - filters:
    - name: http
      typed_config: {"@type": x.HttpConnectionManager, rds: {route_config_name: r}}
- "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
  name: r
  virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: far}}]}]
"""
    cds = json.dumps({"resources": [{"@type": "x.Cluster", "name": "far", "type": "EDS"}]})
    eds = json.dumps({"resources": [{"@type": "x.ClusterLoadAssignment", "cluster_name": "far", "endpoints": [_endpoint(3000)]}]})
    texts = [(FILE, main), ("/lds", lds), ("/cds", cds), ("/eds", eds)]
    (route,) = envoy.routes_between(texts)
    assert (route.at and route.at.file, route.passes, route.peers[0].target) == (
        "/lds",
        "far",
        Target(host="10.1.1.1", port=3000),
    )
    assert route.listens == ("0.0.0.0:80",) and envoy.routes_between([(FILE, TEXT)]) == ()


def _endpoint(port: int) -> dict[str, object]:
    return {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.1.1.1", "port_value": port}}}}]}


def test_the_running_configuration_is_read_like_files() -> None:
    dump = {
        "configs": [
            {
                "@type": "x.BootstrapConfigDump",
                "bootstrap": {"node": {"id": "a"}, "dynamic_resources": {"cds_config": {"ads": {}}}},
            },
            {"dynamic_active_clusters": [{"cluster": {"@type": "x.Cluster", "name": "far", "type": "EDS"}}]},
            {
                "dynamic_endpoint_configs": [
                    {"endpoint_config": {"@type": "x.ClusterLoadAssignment", "cluster_name": "far", "endpoints": [_endpoint(1)]}}
                ]
            },
            {
                "dynamic_route_configs": [
                    {
                        "route_config": {
                            "@type": "x.RouteConfiguration",
                            "name": "r",
                            "virtual_hosts": [
                                {"domains": ["a.example"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "far"}}]}
                            ],
                        }
                    }
                ]
            },
        ]
    }
    (route,) = envoy.load(json.dumps(dump, indent=1), "127.0.0.1:9901/config_dump").routes
    assert (route.server, route.peers[0].target) == ("a.example", Target(host="10.1.1.1", port=1))
    assert route.at is not None and json.dumps(dump, indent=1).splitlines()[route.at.line - 1].strip() == '"cluster": "far"'


def test_the_route_of_a_request() -> None:
    names, find = envoy.finder(Proxy(kind="envoy", routes=envoy.load(TEXT, FILE).routes))
    assert names == ("shop.example", "*", "")

    def passes(path: str, server: str) -> str:
        route = find(path, server, False)
        return route.passes if route else "-"

    assert passes("/", "shop.example:443") == passes("/x?y", "a.shop.example") == passes("/x", "SHOP.example") == "dns"
    assert passes("/api/x", "shop.example") == "-"  # a header decides
    assert passes("/u/1", "shop.example") == "-"  # a regular expression may fit
    assert passes("/lost", "shop.example") == "nowhere"
    assert passes("/", "elsewhere.example") == "x-to"


def test_what_is_written_on_the_command_line_is_a_file_of_its_own() -> None:
    from why502.gateways.envoy import running

    process = Process(pid=1, argv=("envoy", "--config-yaml", TEXT, "--log-path=/var/log/envoy.log"), cwd="/srv")
    ((path, text),) = running.texts(None, process, [FILE])  # type: ignore[arg-type]
    found = envoy.load(text, path)
    assert path == running.ARGUMENT and found.files[0].text == TEXT and found.routes
    assert running.option(process, ("--log-path",)) == "/var/log/envoy.log"
    *_, own = running.logs(None, process, [(path, text)], [found])  # type: ignore[arg-type]
    assert own.path == "/var/log/envoy.log"


_NAMES = st.sampled_from(
    "static_resources listeners clusters filter_chains filters typed_config route_config virtual_hosts routes".split()
)
_JUNK = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150)
@given(_JUNK)
def test_any_text_is_accepted(value: object) -> None:
    text = json.dumps({"static_resources": value, "admin": value, "configs": [value], "resources": [value]})
    envoy.load(text, FILE)
    assert envoy.admin_address([(FILE, text)]) is None
