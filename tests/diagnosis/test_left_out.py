"""A gateway leaves out its only server: because of its own check alone, or for long after a few failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.gateways.caddy.logs import parse
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8443)
AT = Position(file="/etc/caddy/Caddyfile", line=8, column=1, start=0, end=0)
CHECK = (
    '{"level":"info","ts":1795453986.6,"logger":"http.handlers.reverse_proxy.health_checker.active","msg":"HTTP request failed",'
    '"host":"127.0.0.1:8443","error":"Get \\"https://127.0.0.1:8443/robots.txt\\": EOF"}'
)


def left_out(*others: Tally, state: PeerState = PeerState.UP, served_s_ago: float = 2.0) -> Snapshot:
    """Return a machine whose Caddy had no server left for 40 requests."""
    lost = Tally(
        symptom=Symptom.NO_LIVE_UPSTREAMS,
        target=APP,
        proxy="caddy",
        status=503,
        count=40,
        first=NOW - timedelta(seconds=2),
        last=NOW,
    )
    route = Route(
        proxy="caddy", server="http://shop.example", passes="x", protocol="https", at=AT, peers=(Peer(name="x", target=APP),)
    )
    served = PathTraffic(at=AT, statuses={"200": 30}, last_served=NOW - timedelta(seconds=served_s_ago))
    view = PeerView(target=APP, state=state, reason="1 requests failed within 30 s")
    return Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(kind="caddy", pid=7, routes=(route,), peers=(view,)),),
        probes=(Probe(target=APP, protocol="https", request="connect"),),
        logs=LogSummary(tallies=(lost, *others), paths=(served,), has_access=True),
    )


def first(here: Snapshot) -> str:
    return diagnose(here).findings[0].cause


def closed(code: str) -> Tally:
    return Tally(
        symptom=Symptom.CLOSED_BEFORE_HEADER,
        target=APP,
        proxy="caddy",
        code=code,
        count=2,
        first=NOW - timedelta(seconds=2),
        last=NOW,
    )


def test_the_line_of_a_check_is_told_from_that_of_a_request() -> None:
    record = parse(CHECK)
    assert record is not None and (record.symptom, record.code) == (Symptom.CLOSED_BEFORE_HEADER, "active health check")


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (left_out(closed("active health check")), True),
        (left_out(closed("active health check"), closed("")), False),
        (left_out(closed("active health check"), served_s_ago=60.0), False),
    ],
    ids=["only its check fails", "requests fail in the same way", "nothing was served until then"],
)
def test_a_check_alone_takes_the_server_out(here: Snapshot, expected: bool) -> None:
    assert (first(here) == "health-check-misconfigured") is expected


@pytest.mark.parametrize(("lost_s", "answered", "expected"), [(0.9, 200, True), (0.9, None, False), (1.1, 200, False)], ids=str)
def test_an_access_log_shows_no_fractions_of_the_last_second_served(lost_s: float, answered: int | None, expected: bool) -> None:
    here = left_out(closed("active health check"))
    assert here.logs is not None
    begun = here.logs.tallies[0].first
    assert begun is not None
    lost = msgspec.structs.replace(here.logs.tallies[0], first=begun + timedelta(seconds=lost_s))
    probe = Probe(target=APP, protocol="https", request="GET /" if answered else "connect", status=answered, at=NOW)
    logs = msgspec.structs.replace(here.logs, tallies=(lost, *here.logs.tallies[1:]))
    assert (first(msgspec.structs.replace(here, logs=logs, probes=(probe,))) == "health-check-misconfigured") is expected


@pytest.mark.parametrize(
    ("failed", "state", "expected"),
    [(3, PeerState.EJECTED, True), (90, PeerState.EJECTED, False), (3, PeerState.UP, False)],
    ids=["few failures, many losses", "most fail on the server itself", "in use again"],
)
def test_a_server_that_is_left_out_for_long_after_a_few_errors(failed: int, state: PeerState, expected: bool) -> None:
    own = Tally(
        symptom=Symptom.UPSTREAM_STATUS,
        target=APP,
        proxy="caddy",
        status=503,
        count=failed,
        first=NOW - timedelta(seconds=9),
        last=NOW,
    )
    found = diagnose(left_out(own, state=state)).findings[0]
    assert (found.cause == "all-upstreams-down" and found.confidence > 0.9) is expected


@pytest.mark.parametrize(
    ("protocol", "accepts", "others", "expected"),
    [
        ("tcp", True, (), True),
        ("http", True, (), False),  # there requests are answered so, too
        ("tcp", False, (), False),
        ("tcp", True, (closed("SD"),), False),  # connections of clients break, too
    ],
)
def test_where_bytes_are_passed_on_only_a_check_reads_an_answer(
    protocol: str, accepts: bool, others: tuple[Tally, ...], expected: bool
) -> None:
    """`option httpchk` in a backend of `mode tcp` whose server speaks TLS."""
    lost = Tally(symptom=Symptom.NO_LIVE_UPSTREAMS, proxy="haproxy", group="tide", count=40, first=NOW, last=NOW)
    check = Tally(
        symptom=Symptom.HEADER_INVALID, target=APP, proxy="haproxy", group="tide/tide", code="L7RSP", count=3, first=NOW, last=NOW
    )
    peers = (Peer(name="tide", target=APP, check="GET /"),)
    route = Route(proxy="haproxy", passes="tide", upstream="tide", protocol=protocol, at=AT, peers=peers)
    group = Upstream(name="tide", peers=peers)
    probe = Probe(target=APP, protocol="tcp", request="connect", symptom=None if accepts else Symptom.CONNECT_REFUSED)
    here = Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(kind="haproxy", pid=7, routes=(route,), upstreams=(group,)),),
        probes=(probe,),
        logs=LogSummary(tallies=(lost, check, *others)),
    )
    assert (first(here) == "health-check-misconfigured") is expected
