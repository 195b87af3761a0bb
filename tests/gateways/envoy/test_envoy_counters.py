"""Envoy's counters as failures. What grew with each fault was measured with Envoy 1.40."""

from __future__ import annotations

from why502.gateways.envoy.counters import Group, grown, tallies
from why502.model.logs import Symptom
from why502.model.target import Target

HOST = Target(host="127.0.0.1", port=3000)
SOURCE = "127.0.0.1:9901/stats"
ONE = Group(name="shop", hosts=1, host=HOST)


def seen(counters: str, group: Group = ONE, **more: int) -> list[tuple[Symptom, int, int | None]]:
    """Return the tallies of "upstream_cx_none_healthy 3, …" of the cluster."""
    found = (part.split() for part in counters.split(", ") if part)
    stats = {f"cluster.shop.{name}": int(value) for name, value in found} | more
    told = list(tallies(stats, [group], SOURCE))
    assert all(tally.proxy == "envoy" and tally.samples[0].source == SOURCE for tally in told)
    return [(tally.symptom, tally.count, tally.status) for tally in told]


def test_failed_connections() -> None:
    refused = "upstream_cx_connect_fail 3, upstream_rq_503 1, upstream_rq_5xx 1, upstream_rq_retry 2"
    assert seen(refused) == [(Symptom.CONNECT_FAILED, 3, 503)]
    late = "upstream_cx_connect_fail 2, upstream_cx_connect_timeout 2, upstream_rq_503 2, upstream_rq_5xx 2"
    assert seen(late) == [(Symptom.CONNECT_TIMED_OUT, 2, 503)]
    for counter, symptom in (
        ("ssl.fail_verify_error", Symptom.TLS_UNVERIFIED),
        ("ssl.fail_verify_san", Symptom.TLS_UNVERIFIED),
        ("ssl.connection_error", Symptom.TLS_FAILED),
    ):
        assert seen(f"{counter} 1, upstream_cx_connect_fail 1, upstream_rq_503 1, upstream_rq_5xx 1") == [(symptom, 1, 503)]


def test_broken_answers() -> None:
    closed = "upstream_cx_destroy_remote_with_active_rq 2, upstream_rq_503 2, upstream_rq_5xx 2"
    assert seen(closed) == [(Symptom.CLOSED_BEFORE_HEADER, 2, 503)]
    invalid = "upstream_cx_protocol_error 2, upstream_cx_destroy_local_with_active_rq 2, upstream_rq_502 2, upstream_rq_5xx 2"
    assert seen(invalid) == [(Symptom.HEADER_INVALID, 2, 502)]
    of_h2 = "upstream_cx_protocol_error 1, upstream_rq_tx_reset 1, upstream_rq_502 1, upstream_rq_5xx 1"
    assert seen(of_h2) == [(Symptom.HEADER_INVALID, 1, 502)]
    half = "upstream_cx_protocol_error 1, upstream_cx_destroy_remote_with_active_rq 1, upstream_rq_502 1, upstream_rq_5xx 1"
    assert seen(half) == [(Symptom.CLOSED_BEFORE_HEADER, 1, 502)]
    body = "upstream_cx_protocol_error 1, upstream_cx_destroy_remote_with_active_rq 1, upstream_rq_200 1"
    assert seen(body) == [(Symptom.CLOSED_IN_BODY, 1, 200)]


def test_late_answers() -> None:
    late = "upstream_rq_timeout 2, upstream_cx_destroy_local_with_active_rq 2, upstream_rq_504 2, upstream_rq_5xx 2"
    assert seen(late) == [(Symptom.READ_TIMED_OUT, 2, 504)]
    tries = "upstream_rq_per_try_timeout 2, upstream_cx_destroy_local_with_active_rq 2, upstream_rq_504 1, upstream_rq_5xx 1"
    assert seen(tries) == [(Symptom.READ_TIMED_OUT, 2, 504)]
    ended = "upstream_cx_destroy_local_with_active_rq 2"
    assert seen(ended) == []
    left = {"http.web.downstream_cx_destroy_remote_active_rq": 2}
    assert seen(ended, **left) == [(Symptom.CLIENT_CLOSED, 2, None)]
    assert seen(ended, **{"http.web.downstream_rq_max_duration_reached": 2}) == [(Symptom.READ_TIMED_OUT, 2, None)]


def test_nowhere_to_send_a_request() -> None:
    none = "upstream_cx_none_healthy 4, upstream_rq_503 4, upstream_rq_5xx 4"
    assert seen(none) == [(Symptom.NO_LIVE_UPSTREAMS, 4, 503)]
    assert seen(none, Group(name="shop")) == [(Symptom.NO_MEMBERS, 4, 503)]
    (named,) = tallies({"cluster.shop.upstream_cx_none_healthy": 1}, [Group(name="shop", hostname="app.internal")], SOURCE)
    assert (named.symptom, named.detail, named.target) == (Symptom.NAME_NOT_FOUND, "app.internal", None)
    assert seen("upstream_rq_pending_overflow 2, upstream_rq_503 2, upstream_rq_5xx 2") == [(Symptom.PEER_LIMIT, 2, 503)]
    assert seen("", **{"http.web.no_route": 2, "http.web.no_cluster": 1, "http.web.rq_total": 9}) == [
        (Symptom.ROUTE_MISSING, 2, 404),
        (Symptom.ROUTE_TARGET_MISSING, 1, 503),
    ]


def test_the_backend_s_own_statuses() -> None:
    assert seen("upstream_rq_503 5, upstream_rq_5xx 5") == [(Symptom.UPSTREAM_STATUS, 5, 503)]
    assert seen("upstream_rq_500 5, upstream_rq_5xx 5, upstream_rq_completed 8") == [(Symptom.APPLICATION_ERROR, 5, 500)]
    assert seen("upstream_rq_500 5, upstream_rq_5xx 5, upstream_rq_completed 900") == []  # as any application has them
    both = "upstream_cx_connect_fail 2, upstream_rq_503 5, upstream_rq_5xx 5"
    assert seen(both) == [(Symptom.CONNECT_FAILED, 2, 503), (Symptom.UPSTREAM_STATUS, 3, 503)]


def test_its_own_answers() -> None:
    cluster = {"cluster.shop.upstream_rq_5xx": 2, "cluster.shop.upstream_rq_503": 2}
    stats = {"http.web.downstream_rq_5xx": 7, "http.admin.downstream_rq_5xx": 9, **cluster}
    own, rest = sorted(tallies(stats, [ONE], SOURCE, 503), key=lambda tally: tally.symptom)
    assert (own.symptom, own.count, own.status, own.target) == (Symptom.OWN_STATUS, 5, 503, None)
    assert (rest.symptom, rest.count) == (Symptom.UPSTREAM_STATUS, 2)
    assert [tally.symptom for tally in tallies(stats, [ONE], SOURCE)] == [Symptom.UPSTREAM_STATUS]
    assert seen("", **{"rl.http_local_rate_limit.rate_limited": 3}) == [(Symptom.RATE_LIMITED, 3, 429)]


def test_only_one_host_is_named() -> None:
    (tally,) = tallies({"cluster.shop.upstream_cx_connect_fail": 1}, [ONE], SOURCE)
    assert tally.target == HOST and tally.group == "shop"
    (tally,) = tallies({"cluster.shop.upstream_cx_connect_fail": 1}, [Group(name="shop", hosts=2)], SOURCE)
    assert tally.target is None


def test_growth_between_two_readings() -> None:
    assert grown({"a": 5, "b": 2}, {"a": 7, "b": 2, "c": 1, "d": 0}) == {"a": 2, "c": 1}
