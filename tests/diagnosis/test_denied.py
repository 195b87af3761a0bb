"""A rule of the proxy that rejects everyone is the answer; one that rejects some is doing its work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def _path(request: str, served: int, denied: int, *, since: int, clients: int = 4) -> PathTraffic:
    return PathTraffic(
        server="inside",
        request=request,
        statuses={"200": served, "403": denied},
        clients=clients,
        refused_since=since,
        last_served=AT - timedelta(seconds=9),
        last_refused=AT,
    )


@pytest.mark.parametrize(
    ("paths", "is_denied"),
    [
        ((_path("GET /", 20, 20, since=20), _path("GET /stars", 30, 9, since=9)), True),
        ((_path("GET /", 20, 30, since=30, clients=1),), True),  # another proxy is its only client
        ((_path("GET /", 20, 20, since=1), _path("GET /stars", 30, 9, since=0)), False),  # some are let in
        ((_path("GET /", 200, 0, since=0), _path("GET /secret", 1, 30, since=30)), False),  # one page
        ((_path("GET /", 20, 5, since=5, clients=1),), False),  # few requests of one client
    ],
)
def test_a_rule_that_rejects_everyone_since_a_moment_is_named(paths: tuple[PathTraffic, ...], is_denied: bool) -> None:
    count = sum(path.statuses["403"] for path in paths)
    requests = sum(path.requests for path in paths)
    denied = Tally(
        symptom=Symptom.DENIED_BY_RULE, proxy="haproxy", server="inside", status=403, code="PR--", count=count, first=AT, last=AT
    )
    here = Snapshot(
        taken_at=AT, proxies=(Proxy(kind="haproxy", pid=3),), logs=LogSummary(tallies=(denied,), paths=paths, requests=requests)
    )
    causes = [finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED]
    assert causes == (["denied-by-rule"] if is_denied else [])
