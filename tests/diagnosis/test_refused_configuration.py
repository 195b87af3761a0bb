"""A gateway runs with an older configuration, because the new one with names and other ports was refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.probe import Probe
from why502.model.proxy import ConfigTest, Proxy
from why502.model.snapshot import Resolution, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, NEW = Target(host="127.0.0.1", port=8001), Target(host="127.0.0.1", port=9001)


def refused(port: int) -> Snapshot:
    """Return a machine whose gateway still uses an address, while its rejected file names a host with this port."""
    named = Target(host="app1.fleet.internal", port=port)
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, target=OLD, proxy="haproxy", status=503, count=9, first=NOW, last=NOW)
    route = Route(proxy="haproxy", passes="x", peers=(Peer(name="app1", target=named),))
    return Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(kind="haproxy", pid=7, test=ConfigTest.FAILED, routes=(route,)),),
        names=(Resolution(name=named.host, addresses=("127.0.0.1",)),),
        listeners=(),
        probes=(Probe(target=NEW, request="GET /", status=200),),
        logs=LogSummary(tallies=(tally,), has_access=True),
    )


@pytest.mark.parametrize(("port", "expected"), [(9001, True), (8001, False)])
def test_a_name_leads_only_to_its_own_port(port: int, expected: bool) -> None:
    found = diagnose(refused(port)).findings[0]
    assert ((found.cause, found.target) == ("proxy-config-invalid", OLD)) is expected
