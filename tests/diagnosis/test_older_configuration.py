"""What only the gateway itself shows: an address that its files no longer name, and a rule of its own that refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Route
from why502.model.finding import Finding
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import ConfigTest, Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = Target(host="127.0.0.1", port=8443), Target(host="127.0.0.1", port=9443)


def first(*, changed_s: float = 30.0, last_s: float = 1.0, to: Target = NEW, test: ConfigTest = ConfigTest.UNKNOWN) -> Finding:
    """Return the first finding if Caddy's file was changed this long ago, and its last connection to `OLD` failed later."""
    peers = (Peer(name=str(to), target=to),)
    caddy = Proxy(
        kind="caddy",
        pid=7,
        test=test,
        changed_at=NOW - timedelta(seconds=changed_s),
        routes=(Route(proxy="caddy", passes=str(to), peers=peers),),
    )
    inner = Proxy(kind="nginx", pid=8, test=ConfigTest.OK, routes=(Route(passes="x", peers=peers),))
    last = NOW - timedelta(seconds=last_s)
    lost = Tally(
        symptom=Symptom.CONNECT_REFUSED,
        proxy="caddy",
        target=OLD,
        status=502,
        count=50,
        first=last - timedelta(seconds=9),
        last=last,
    )
    here = Snapshot(taken_at=NOW, addresses=(), listeners=(), proxies=(caddy, inner), logs=LogSummary(tallies=(lost,)))
    return diagnose(here).findings[0]


def test_what_it_connects_to_now_is_not_what_its_files_name() -> None:
    found = first()
    assert (found.cause, found.target, found.confidence > 0.9) == ("proxy-config-not-loaded", OLD, True)
    assert "nginx" not in str(found.remedies)
    assert "caddy reload" in str(found.remedies)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"changed_s": 0.5}, "the failures are older than the file"),
        ({"last_s": 20.0}, "it may have been loaded since the last failure"),
        ({"to": OLD}, "the files name the address"),
        ({"to": Target(host="app.internal", port=8443)}, "a name may lead there"),
    ],
)
def test_nothing_shows_that_it_runs_an_older_configuration(changes: dict[str, object], reason: str) -> None:
    assert first(**changes).cause != "proxy-config-not-loaded", reason  # type: ignore[arg-type]


def test_a_rule_that_refuses_is_named_with_what_it_refused() -> None:
    refused = Tally(
        symptom=Symptom.OWN_STATUS,
        named="denied-by-rule",
        proxy="apache",
        server="shop.example",
        status=503,
        detail="rule 1001 SQLi",
        requests=(("GET /search", 40), ("GET /", 2)),
        count=42,
        first=NOW,
        last=NOW,
    )
    found = diagnose(
        Snapshot(taken_at=NOW, proxies=(Proxy(kind="apache", pid=7),), logs=LogSummary(tallies=(refused,)))
    ).findings[0]
    assert found.cause == "denied-by-rule"
    assert found.message.endswith(": rule 1001 SQLi, shop.example, most often GET /search")
