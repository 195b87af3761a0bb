"""Traefik's static and dynamic configuration, in each of the forms that it accepts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.gateways.traefik import admin
from why502.gateways.traefik import config as traefik
from why502.gateways.traefik.config import static
from why502.gateways.traefik.config.dynamic import target_of
from why502.gateways.traefik.config.rules import hosts_and_paths
from why502.gateways.traefik.tallies import settled
from why502.model.config import PROTOCOL, LogKind, LogPlace
from why502.model.errors import HostError
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.target import Target

STATIC = """\
entryPoints:
  web: {address: ":80"}
  websecure:
    address: ":443"
    http: {tls: {}}
serversTransport:
  forwardingTimeouts: {dialTimeout: 5s, responseHeaderTimeout: "1m30s"}
log: {level: WARN, filePath: /var/log/traefik.log}
accessLog: {filePath: /var/log/access.log}
providers:
  file: {directory: conf.d}
"""
DYNAMIC = """\
http:
  routers:
    shop:
      rule: "Host(`shop.example`, `www.shop.example`) && PathPrefix(`/api`)"
      service: both
      entryPoints: [web]
    old:
      rule: 'Path("/old") || Path("/older")'
      service: plain@file
    lost: {rule: "PathPrefix(`/x`)", service: nowhere, entryPoints: [none]}
  services:
    both:
      weighted: {services: [{name: plain, weight: 3}, {name: safe}]}
    plain:
      loadBalancer:
        servers: [{url: "http://127.0.0.1:3001"}, {url: "h2c://app"}]
        healthCheck: {path: /health}
    safe:
      failover: {service: tls, fallback: spare}
    tls:
      loadBalancer:
        serversTransport: own
        passHostHeader: false
        servers: [{url: "https://inner.example:8443/base"}]
    spare: {loadBalancer: {servers: [{url: "http://[::1]:9"}]}}
  serversTransports:
    own: {rootCAs: [/etc/ca.pem], forwardingTimeouts: {dialTimeout: 2}}
"""


def test_routers_lead_to_the_servers_of_their_services() -> None:
    found = traefik.together([("/etc/traefik/traefik.yml", STATIC), ("/etc/traefik/conf.d/a.yml", DYNAMIC)], None)
    plain, tls, spare, old, older = found.routes
    assert (plain.server_names, plain.location, plain.listens, plain.listens_tls) == (
        ("shop.example", "www.shop.example"),
        "/api",
        (":80",),
        False,
    )
    assert [peer.target for peer in plain.peers] == [Target(host="127.0.0.1", port=3001), Target(host="app", port=80)]
    assert (plain.upstream, plain.connect_timeout_s, plain.read_timeout_s, plain.host_header) == (
        "plain@file",
        5.0,
        90.0,
        "$host",
    )
    assert (tls.protocol, tls.verifies_tls, tls.sni_name, tls.host_header) == ("https", True, "inner.example", "$proxy_host")
    assert (tls.connect_timeout_s, tls.read_timeout_s) == (2.0, 0.0)  # a transport of its own has its own defaults
    assert tls.settings["server_ssl_trusted_certificate"][0].args == ("/etc/ca.pem",)
    assert [peer.is_backup for peer in spare.peers] == [True]
    assert (old.location, older.location, old.listens) == ("= /old", "= /older", (":80", ":443"))
    assert plain.peers[0].at is not None and (plain.peers[0].at.file, plain.peers[0].at.line) == ("/etc/traefik/conf.d/a.yml", 16)
    assert [group.name for group in found.upstreams] == ["plain@file", "tls@file", "spare@file"]
    assert [problem.message for problem in found.problems] == [
        "router lost@file: the service nowhere@file does not exist",
        "router lost@file: the entry point none does not exist",
    ]
    assert [(log.kind, log.path, log.level) for log in found.logs] == [
        (LogKind.ERROR, "/var/log/traefik.log", "warn"),
        (LogKind.ACCESS, "/var/log/access.log", ""),
    ]
    assert found.routes_elsewhere is False


@pytest.mark.parametrize(
    ("router", "reason"),
    [
        ("service: app, entryPoints: [none, web]", ""),
        ("service: app, entryPoints: [none, neither]", "no entry point none or neither exists"),
        ("service: other", "the service other@file does not exist"),
        ("service: other@docker", ""),  # what other providers have is not known here
        ("service: app, middlewares: [login]", ""),
        ("service: app, middlewares: [absent]", "the middleware absent@file does not exist"),
        ("service: app, middlewares: [absent@docker]", ""),
    ],
)
def test_a_router_that_cannot_be_used(router: str, reason: str) -> None:
    text = f"""
http:
  routers: {{shop: {{rule: "Host(`shop.example`) && PathPrefix(`/a`)", {router}}}}}
  middlewares: {{login: {{basicAuth: {{}}}}}}
  services: {{app: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:1"}}]}}}}}}
"""
    found = traefik.together([("/etc/traefik/traefik.yml", "entryPoints: {web: {address: ':80'}}"), ("/d.yml", text)], None)
    assert [route.reason for route in found.unused_routes] == ([reason] if reason else [])
    for route in found.unused_routes:
        assert (route.name, route.server_names, route.locations) == ("shop@file", ("shop.example",), ("/a",))
        assert route.source.startswith("/d.yml:3")


@pytest.mark.parametrize(
    ("flags", "attaches"),
    [
        ((), None),
        (("--providers.file.directory=/a",), None),
        (("--providers.docker",), True),
        (("--providers.docker=false",), None),
        (("--providers.docker", "--providers.docker.exposedbydefault=false"), False),
        (("--providers.docker.exposedByDefault", "false"), False),
    ],
)
def test_whether_containers_need_a_label(flags: tuple[str, ...], attaches: bool | None) -> None:
    text = static.of_arguments(("--entrypoints.web.address=:80", *flags))
    assert traefik.together([(static.ARGUMENTS, text)], None).attaches_by_default is attaches


def test_the_same_in_toml() -> None:
    text = """
[http.routers.shop]
rule = "Host(`shop.example`)"
service = "app"
[[http.services.app.loadBalancer.servers]]
url = "h2c://127.0.0.1:3001"
"""
    (route,) = traefik.load(text, "/etc/traefik/dynamic.toml").routes
    assert (route.server, route.peers[0].target, route.setting(PROTOCOL)) == (
        "shop.example",
        Target(host="127.0.0.1", port=3001),
        route.settings[PROTOCOL][0],
    )
    (problem,) = traefik.load("[http", "/etc/traefik/dynamic.toml").problems
    assert problem.message.startswith("Expected")


def test_the_command_line_and_the_environment_are_configurations() -> None:
    argv = [
        "--entryPoints.Web.address=:8080",
        "--api",
        "--api.insecure",
        "--providers.docker",
        "--log.level",
        "DEBUG",
        "--accesslog",
    ]
    flags = static.understood(static.of_arguments(argv), static.ARGUMENTS)
    assert {name: point.address for name, point in flags.entry_points.items()} == {"web": ":8080"}
    assert list(flags.api_doors()) == [("", 8080)] and static.has_other_providers(flags)
    assert [(log.kind, log.goes_to) for log in flags.logs()] == [(LogKind.ACCESS, LogPlace.STDERR)] * 2
    environment = {"TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": ":81", "TRAEFIK_PROVIDERS_FILE_FILENAME": "d.yml", "PATH": "/bin"}
    given = static.understood(static.of_environment(environment), static.ENVIRONMENT)
    assert given.entry_points["web"].address == ":81" and not static.has_other_providers(given)
    assert static.dynamic_places(given, "/srv") == ("/srv/d.yml", "")
    assert static.of_arguments(["--configFile=/x.yml"]) == "" == static.of_environment({"PATH": "/bin"})
    assert static.file_option(["--configFile=/x.yml"]) == "/x.yml"


def test_without_entry_points_it_listens_on_port_80_and_a_default_one_is_the_only_one() -> None:
    assert static.understood("{}", "x").entry_points["http"].address == ":80"
    text = "entryPoints: {a: {address: ':1', asDefault: true}, b: {address: ':2'}}"
    assert [point.is_default for point in static.understood(text, "x").entry_points.values()] == [True, False]


def test_an_api_that_cannot_be_asked_is_a_gap_only_if_routes_come_from_elsewhere() -> None:
    process = Process(pid=7, argv=("traefik", "--providers.docker", "--api"))
    with pytest.raises(HostError, match="another provider than files"):
        list(admin.doors(Proxy(kind="traefik", config=static.ARGUMENTS, routes_elsewhere=True), process, [], {}))
    assert list(admin.doors(Proxy(kind="traefik", config="/t.yml"), process, [("/t.yml", STATIC)], {})) == []
    router = (
        "http: {routers: {api: {rule: 'Host(`t.example`) && PathPrefix(`/api`)', service: api@internal, entryPoints: [web]}}}"
    )
    (door,) = admin.doors(Proxy(kind="traefik", config="/t.yml"), process, [("/t.yml", STATIC), ("/d.yml", router)], {})
    assert (door.target, door.host_header, door.named_by) == (Target(port=80), "t.example", "/d.yml")


def test_a_url_may_hold_a_user() -> None:
    assert target_of("http://user:secret@10.0.0.1:81/base") == Target(host="10.0.0.1", port=81)
    assert target_of("https://inner.example") == Target(host="inner.example", port=443)
    assert target_of("h2c://[::1]:9") == Target(host="::1", port=9)


def test_a_rule_names_hosts_and_paths() -> None:
    assert hosts_and_paths("Host(`a`) || Host(`B.example`) && !PathPrefix(`/no`) && PathPrefix(`/yes`)") == (
        ("a", "b.example"),
        ("/yes",),
    )
    assert hosts_and_paths("HostRegexp(`.+`)") == ((), ())


def test_a_template_is_no_error() -> None:
    assert traefik.load("http:\n{{ range $i := until 3 }}\n  bad: [", "/x.yml").problems == ()
    assert traefik.load("http:\n  bad: [", "/x.yml").problems != ()


@given(st.text(st.sampled_from("htp:routers{}[]&*!|>-'\"`, \n#servicloadBanurl/0"), max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_has_an_answer(text: str) -> None:
    traefik.load(text, "/x.yml")
    traefik.load(f"http:\n  routers:\n    a: {text}", "/x.yml")
    traefik.load(text, "/x.toml")


def test_services_that_consist_of_themselves_end() -> None:
    services = {"a": {"weighted": {"services": [{"name": "a"}, {"name": "b"}]}}, "b": {"mirroring": {"service": "a"}}}
    text = json.dumps({"http": {"routers": {"r": {"rule": "Path(`/`)", "service": "a"}}, "services": services}})
    assert traefik.load(text, "/x.json").routes == ()


def test_a_request_finds_its_route() -> None:
    found = traefik.together([("/etc/traefik/traefik.yml", STATIC), ("/d.yml", DYNAMIC)], None)
    names, find = traefik.finder(Proxy(kind="traefik", routes=found.routes))
    assert names == ("shop.example", "www.shop.example")
    old = find("/old", "other.example", False)
    assert old is not None and old.location == "= /old"
    assert find("/nothing", "shop.example", False) is None


def test_the_log_s_router_becomes_its_service_and_an_empty_one_is_told() -> None:
    text = """\
http:
  routers:
    shop: {rule: "Host(`a`)", service: app}
    bare: {rule: "Host(`b`)", service: none}
  services:
    app: {loadBalancer: {servers: [{url: "http://127.0.0.1:1"}]}}
    none: {loadBalancer: {servers: []}}
"""
    found = traefik.load(text, "/d.yml")
    proxy = Proxy(kind="traefik", routes=found.routes, upstreams=found.upstreams)
    tallies = [
        Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="traefik", group=group, named="all-upstreams-down")
        for group in ("shop@file", "app@file", "bare@file", "else@docker")
    ]
    other = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="shop@file")
    result = settled(LogSummary(tallies=(*tallies, other)), (proxy,)).tallies
    assert [(tally.symptom, tally.group, tally.named) for tally in result] == [
        (Symptom.NO_LIVE_UPSTREAMS, "app@file", "all-upstreams-down"),
        (Symptom.NO_LIVE_UPSTREAMS, "app@file", "all-upstreams-down"),
        (Symptom.NO_MEMBERS, "none@file", ""),
        (Symptom.NO_LIVE_UPSTREAMS, "else@docker", "all-upstreams-down"),
        (Symptom.NO_LIVE_UPSTREAMS, "shop@file", ""),
    ]


def test_routes_without_a_known_place_differ_in_theirs() -> None:
    """TOML has no positions, and what the API answers has no file; requests are placed at a route by its position."""
    routers = "".join(f'[http.routers.r{each}]\nrule = "Host(`{each}.example`)"\nservice = "app"\n' for each in range(3))
    text = f'{routers}[http.services.app.loadBalancer]\n[[http.services.app.loadBalancer.servers]]\nurl = "http://10.0.0.1:80"\n'
    routes = traefik.load(text, "/d.toml").routes
    assert len({route.at for route in routes}) == len(routes) == 3
