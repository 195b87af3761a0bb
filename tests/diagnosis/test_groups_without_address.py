"""Requests through a group whose log names no address: they count for their clients, and the finding names the group."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from why502.diagnosis.engine import diagnose
from why502.diagnosis.ranking import ranked
from why502.model.config import Answer, Peer, Position, Route, Upstream
from why502.model.finding import Finding, Layer, Verdict
from why502.model.logs import LogFile, LogSummary, PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
AT = Position(file="/etc/gateway.conf", line=6)
KINDS = ("apache", "caddy", "envoy", "haproxy", "lighttpd", "nginx", "traefik", "varnish")


def snapshot(kind: str, tally: Tally, requests: int, paths: tuple[PathTraffic, ...] = ()) -> Snapshot:
    """Return the snapshot of a gateway with one route to a group of two servers."""
    ends = tuple(Peer(name=f"127.0.0.1:{port}", target=Target(host="127.0.0.1", port=port)) for port in (8091, 8092))
    route = Route(
        proxy=kind, server="shop.example", server_names=("shop.example",), location="/", at=AT, upstream="pool", peers=ends
    )
    proxy = Proxy(kind=kind, pid=7, config=AT.file, routes=(route,), upstreams=(Upstream(name="pool", peers=ends),))
    logs = LogSummary(
        files=(LogFile(path="/var/log/gateway.log", lines=requests),),
        tallies=(tally,),
        requests=requests,
        by_status={"200": requests - tally.count, str(tally.status): tally.count},
        has_access=True,
        paths=paths,
    )
    return Snapshot(taken_at=NOW, proxies=(proxy,), logs=logs)


def failed(kind: str, symptom: Symptom, status: int) -> Tally:
    """Return 48 failures on one path of the server."""
    return Tally(
        symptom=symptom,
        proxy=kind,
        server="shop.example",
        status=status,
        count=48,
        first=NOW,
        last=NOW,
        requests=(("GET /a", 48),),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_placed", [True, False, None])
def test_a_route_that_answers_500_is_never_healthy(kind: str, is_placed: bool | None) -> None:
    path = PathTraffic(
        server="shop.example",
        request="GET /a",
        at=AT if is_placed else None,
        statuses={"500": 48, "200": 9},
        clients=8,
        refused_since=30,
        last_refused=NOW,
    )
    tally = failed(kind, Symptom.UPSTREAM_STATUS, 500)
    found = diagnose(snapshot(kind, tally, 146, () if is_placed is None else (path,)))
    assert found.verdict is Verdict.PROBLEM
    assert found.findings[0].cause == "application-error"


def test_few_errors_among_many_requests_are_no_alarm_if_the_paths_are_unknown() -> None:
    assert diagnose(snapshot("caddy", failed("caddy", Symptom.UPSTREAM_STATUS, 500), 4_800)).verdict is not Verdict.PROBLEM


def test_a_finding_without_an_address_names_its_group() -> None:
    for symptom, status in ((Symptom.READ_TIMED_OUT, 504), (Symptom.UPSTREAM_STATUS, 500)):
        found = diagnose(snapshot("caddy", failed("caddy", symptom, status), 146)).findings
        assert {(finding.target, finding.group) for finding in found} == {(None, "pool")}


def test_a_finding_about_an_answer_that_may_be_the_gateways_own_names_no_group() -> None:
    given = snapshot("caddy", failed("caddy", Symptom.GATEWAY_STATUS, 503), 146)
    assert given.proxies is not None
    own = msgspec.structs.replace(given.proxies[0], answers=(Answer(server="shop.example", status=503),))
    found = diagnose(msgspec.structs.replace(given, proxies=(own,))).findings
    assert {finding.group for finding in found} == {""}


@pytest.mark.parametrize(("ports", "cause", "first"), [
    ((8091, 8092), "backend-dependency-down", "backend-dependency-down"),
    ((8091,), "backend-dependency-down", "application-error"),
    ((8091, 8092), "stale-dns", "application-error"),
])  # fmt: skip
def test_a_symptom_of_a_group_ranks_after_its_cause_on_each_server(ports: tuple[int, ...], cause: str, first: str) -> None:
    here = snapshot("caddy", failed("caddy", Symptom.UPSTREAM_STATUS, 500), 90)
    of_group = Finding(cause="application-error", layer=Layer.UPSTREAM, confidence=0.9, message="", group="pool", ongoing=True)
    of_servers = [
        Finding(
            cause=cause,
            layer=Layer.UPSTREAM,
            confidence=0.8,
            message="",
            target=Target(host="127.0.0.1", port=port),
            ongoing=True,
        )
        for port in ports
    ]
    assert ranked([of_group, *of_servers], here)[0].cause == first
