"""What Envoy's configuration and its own view of its hosts add to the failures in its log."""

from __future__ import annotations

from msgspec.structs import replace

from why502.gateways.envoy.config import load
from why502.gateways.envoy.tallies import NO_ANSWER, NO_CONNECTION, OTHER_ANSWER
from why502.gateways.tallies import settled
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.target import Target

HOST = Target(host="127.0.0.1", port=3000)
TEXT = """
node: {id: a}
static_resources:
  listeners:
  - address: {socket_address: {address: 0.0.0.0, port_value: 80}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": x.HttpConnectionManager
          http_filters: [{name: a, typed_config: {"@type": x.ExtAuthz, http_service: {server_uri: {cluster: authz}}}}]
          route_config:
            virtual_hosts:
            - domains: [shop.example]
              routes:
              - {match: {prefix: /empty/}, route: {cluster: empty}}
              - {match: {prefix: /name/}, route: {cluster: name}}
              - {match: {prefix: /checked/}, route: {cluster: checked}}
              - {match: {prefix: /}, route: {cluster: shop}}
  clusters:
  - {name: empty}
  - {name: name, type: STRICT_DNS, load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: app.internal, port_value: 80}}}}]}]}}
  - name: checked
    type: STRICT_DNS
    health_checks: [{http_health_check: {path: /}}]
    load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: app.internal, port_value: 81}}}}]}]}
  - {name: shop, connect_timeout: 1s, load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3000}}}}]}]}}
  - {name: authz, load_assignment: {endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 4001}}}}]}]}}
"""


def proxy(*peers: PeerView, counted: tuple[Tally, ...] = (), admin: str = "127.0.0.1:9901") -> Proxy:
    found = load(TEXT, "/e.yaml")
    return Proxy(kind="envoy", pid=1, routes=found.routes, upstreams=found.upstreams, peers=peers, counted=counted, admin=admin)


def after(tally: Tally, where: Proxy) -> list[Tally]:
    return list(settled(LogSummary(tallies=(tally,)), (where,)).tallies)


def empty(path: str, group: str = "") -> Tally:
    return Tally(
        symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="envoy", group=group, server="shop.example", requests=((f"GET {path}", 1),)
    )


def view(state: PeerState, reason: str = "", group: str = "shop") -> PeerView:
    return PeerView(group=group, target=HOST, state=state, reason=reason, check="a_flag", source="/clusters")


def test_a_cluster_without_a_host_is_found_by_the_path() -> None:
    for where in (proxy(), proxy(admin="")):
        (none,) = after(empty("/empty/x"), where)
        assert (none.symptom, none.group) == (Symptom.NO_MEMBERS, "empty")
        (name,) = after(empty("/name/x"), where)
        assert (name.symptom, name.detail, name.target) == (
            Symptom.NAME_NOT_FOUND,
            "app.internal",
            Target(host="app.internal", port=80),
        )
    (other,) = after(empty("/x", group="elsewhere"), proxy(admin=""))
    assert (other.symptom, other.group) == (Symptom.NO_LIVE_UPSTREAMS, "elsewhere")


def test_without_its_own_word_checks_may_be_why() -> None:
    (unknown,) = after(empty("/checked/x"), proxy(admin=""))
    assert unknown.symptom is Symptom.NO_LIVE_UPSTREAMS
    (told,) = after(empty("/checked/x"), proxy())
    assert told.symptom is Symptom.NAME_NOT_FOUND


def test_ejected_hosts() -> None:
    (found,) = after(empty("/x"), proxy(view(PeerState.EJECTED, "too many")))
    assert (found.symptom, found.detail, found.group) == (Symptom.CIRCUIT_OPEN, "too many", "shop")
    own = Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, proxy="envoy", target=HOST)
    summary = LogSummary(tallies=(empty("/x"), own))
    group, _ = settled(summary, (proxy(view(PeerState.EJECTED, "too many")),)).tallies
    assert group.symptom is Symptom.NO_LIVE_UPSTREAMS  # the host's own failures are told, and are why


def test_failed_checks_are_the_members_own_failures() -> None:
    for reason, symptom in (
        (NO_ANSWER, Symptom.HEALTH_CHECK_FAILED),
        (NO_CONNECTION, Symptom.CONNECT_FAILED),
        (OTHER_ANSWER, Symptom.HEALTH_CHECK_STATUS),
        ("", Symptom.HEALTH_CHECK_FAILED),
    ):
        group, check = after(empty("/x"), proxy(view(PeerState.DOWN, reason)))
        assert group.symptom is Symptom.NO_LIVE_UPSTREAMS
        assert (check.symptom, check.target, check.code, check.detail) == (symptom, HOST, "a_flag", reason)
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="envoy", target=HOST)
    assert after(refused, proxy(view(PeerState.DOWN, NO_ANSWER))) == [refused]  # no request was without a host


def test_the_reason_of_a_failed_connection() -> None:
    failed = Tally(symptom=Symptom.CONNECT_FAILED, proxy="envoy", target=HOST, duration_min_s=0.002)
    (same,) = after(failed, proxy())
    assert same == failed
    (late,) = after(replace(failed, duration_min_s=0.998), proxy())
    assert late.symptom is Symptom.CONNECT_TIMED_OUT
    unverified = Tally(symptom=Symptom.TLS_UNVERIFIED, proxy="envoy", target=HOST, group="shop")
    (tls,) = after(failed, proxy(counted=(unverified,)))
    assert tls.symptom is Symptom.TLS_UNVERIFIED
    both = (unverified, replace(unverified, symptom=Symptom.CONNECT_FAILED))
    (unsure,) = after(failed, proxy(counted=both))
    assert unsure.symptom is Symptom.CONNECT_FAILED


def test_an_answer_that_ended_within_its_header() -> None:
    invalid = Tally(symptom=Symptom.HEADER_INVALID, proxy="envoy", target=HOST)
    closed = Tally(symptom=Symptom.CLOSED_BEFORE_HEADER, proxy="envoy", target=HOST, group="shop")
    (found,) = after(invalid, proxy(counted=(closed,)))
    assert found.symptom is Symptom.CLOSED_BEFORE_HEADER


def test_the_service_that_is_asked_about_requests() -> None:
    failed = Tally(symptom=Symptom.AUTH_FAILED, proxy="envoy", group="shop", target=None)
    (found,) = after(failed, proxy())
    assert (found.group, found.target) == ("authz", Target(host="127.0.0.1", port=4001))


def test_other_gateways_are_left_alone() -> None:
    tally = replace(empty("/empty/x"), proxy="traefik")
    assert after(tally, proxy()) == [tally]
    assert settled(LogSummary(tallies=(tally,)), ()).tallies == (tally,)
