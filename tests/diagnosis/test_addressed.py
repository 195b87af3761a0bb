"""Servers that a log names by host name: they are joined to the rest by the one address that the name has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from why502.diagnosis.addressed import addressed
from why502.diagnosis.checks import check_all
from why502.diagnosis.engine import diagnose
from why502.diagnosis.spares import MAINTENANCE
from why502.gateways.haproxy import config as haproxy
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.probe import Probe
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.service import Service
from why502.model.snapshot import Listener, Lookup, Resolution, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 7, 15, tzinfo=UTC)
NAMED, ADDRESS = Target(host="app2.internal", port=8002), Target(host="127.0.0.1", port=8002)
FIRST = Target(host="127.0.0.1", port=8001)
CONFIG = """
frontend www
    bind 127.0.0.1:8080
    default_backend apps
backend apps
    server app1 127.0.0.1:8001
    server app2 app2.internal:8002
"""


def resolved(*addresses: str) -> Resolution:
    return Resolution(name=NAMED.host, source="/etc/hosts", addresses=addresses, outcome=Lookup.OK)


def machine(symptom: Symptom, *, code: str = "", is_notice: bool = False, names: tuple[Resolution, ...]) -> Snapshot:
    """Return a machine whose HAProxy logs this about a server that is configured by name; nothing listens there."""
    tally = Tally(
        symptom=symptom,
        proxy="haproxy",
        target=NAMED,
        code=code,
        is_notice=is_notice,
        status=None if is_notice else 503,
        count=9,
        first=NOW - timedelta(minutes=5),
        last=NOW,
    )
    found = haproxy.load(CONFIG, "haproxy.cfg")
    served = TargetTraffic(target=FIRST, attempts=200, statuses={"200": 200}, last_success=NOW)
    return Snapshot(
        taken_at=NOW,
        proxies=(Proxy(kind="haproxy", pid=7, routes=found.routes, upstreams=found.upstreams),),
        logs=LogSummary(tallies=(tally,), targets=(served, replace(served, target=NAMED)), requests=400, has_access=True),
        names=names,
        listeners=(Listener(target=FIRST, pids=(40,)),),
        services=(Service(manager="systemd", name="app@8002.service", is_running=False, state="inactive", targets=(ADDRESS,)),),
        probes=(
            Probe(target=FIRST, protocol="http", status=200, at=NOW),
            Probe(target=ADDRESS, protocol="http", symptom=Symptom.CONNECT_REFUSED, detail="Connection refused", at=NOW),
        ),
    )


def causes(here: Snapshot) -> list[tuple[str, Target | None]]:
    return [(each.cause, each.target) for each in diagnose(here).findings if each.confidence >= ASSERTED]


def test_what_is_known_of_the_address_is_known_of_the_named_server() -> None:
    assert causes(machine(Symptom.CONNECT_REFUSED, names=(resolved("127.0.0.1"),)))[0] == ("backend-not-running", ADDRESS)


@pytest.mark.parametrize("names", [(), (resolved("127.0.0.1", "127.0.0.2"),)])
def test_a_name_is_not_an_old_address(names: tuple[Resolution, ...]) -> None:
    here = machine(Symptom.CONNECT_REFUSED, names=names)
    assert addressed(here) is here
    assert "stale-dns" not in {cause for cause, _ in causes(here)}


def test_a_failed_lookup_stays_one_of_the_name() -> None:
    here = addressed(machine(Symptom.NAME_NOT_FOUND, names=(resolved("127.0.0.1"),)))
    assert here.logs is not None
    assert [tally.target for tally in here.logs.tallies] == [NAMED]


def test_the_figures_of_a_name_and_of_its_address_are_added() -> None:
    here = machine(Symptom.CONNECT_REFUSED, names=(resolved("127.0.0.1"),))
    assert here.logs is not None
    own = TargetTraffic(target=ADDRESS, attempts=5, failures=2, response_p95_s=0.5, statuses={"200": 3, "502": 2})
    found = addressed(replace(here, logs=replace(here.logs, targets=(*here.logs.targets, own)))).logs
    assert found is not None
    assert {each.target: (each.attempts, each.failures, each.statuses) for each in found.targets} == {
        FIRST: (200, 0, {"200": 200}),
        ADDRESS: (205, 2, {"200": 203, "502": 2}),
    }


@pytest.mark.parametrize(
    ("symptom", "is_notice", "expected"), [(Symptom.PEER_DISABLED, True, True), (Symptom.CONNECT_REFUSED, False, False)]
)
def test_a_server_that_an_administrator_took_out_is_no_fault(symptom: Symptom, is_notice: bool, expected: bool) -> None:
    names = (resolved("127.0.0.1"),)
    code = MAINTENANCE if is_notice else ""
    here = machine(symptom, code=code, is_notice=is_notice, names=names)
    assert (causes(here) == []) is expected
    assert here.logs is not None
    also = replace(here.logs.tallies[0], target=FIRST)
    assert causes(replace(here, logs=replace(here.logs, tallies=(*here.logs.tallies, also))))  # no other server is left


@pytest.mark.parametrize(("state", "status"), [(PeerState.MAINTENANCE, "pass"), (PeerState.DOWN, "warn")])
def test_a_gateway_that_calls_a_server_in_maintenance(state: PeerState, status: str) -> None:
    here = addressed(machine(Symptom.PEER_DISABLED, code=MAINTENANCE, is_notice=True, names=(resolved("127.0.0.1"),)))
    assert here.proxies is not None
    view = PeerView(group="apps", name="app2", target=ADDRESS, state=state, source="show stat")
    asked = replace(here, proxies=(replace(here.proxies[0], admin="/run/haproxy/admin.sock", peers=(view,)),))
    assert next(check.status for check in check_all(asked) if check.id == "servers-in-use") == status
