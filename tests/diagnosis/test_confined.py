"""A unit whose own settings drop the packets of the proxy, or those to its database."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from why502.diagnosis.confined import denied
from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Route
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Dependency, Kernel, Listener, NetworkSpace, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
APP = Target(host="127.0.0.1", port=8000)
BASE = Target(host="10.0.0.9", port=5432)


def unit(deny: str, allow: str = "") -> Service:
    settings = {"IPAddressDeny": deny} | ({"IPAddressAllow": allow} if allow else {})
    return Service(manager="systemd", name="shop.service", state="active", is_running=True, targets=(APP,), settings=settings)


def machine(service: Service, symptom: Symptom, *needs: Dependency) -> Snapshot:
    """Return a machine where requests to the application fail in one way."""
    tally = Tally(symptom=symptom, target=APP, status=504, count=9, first=NOW, last=NOW)
    return Snapshot(
        taken_at=NOW,
        addresses=(),
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=APP),)),)),),
        listeners=(Listener(target=APP, pids=(7,), queued=0, backlog=128),),
        processes=(Process(pid=7, ppid=1, name="shop"),),
        services=(service,),
        kernel=Kernel(listen_overflows=0),
        dependencies=needs,
        logs=LogSummary(tallies=(tally,), has_access=True),
    )


@pytest.mark.parametrize(
    ("service", "host", "expected"),
    [
        (unit("::/0 0.0.0.0/0"), "127.0.0.1", True),
        (unit("::/0 0.0.0.0/0", "10.0.0.0/8"), "127.0.0.1", True),
        (unit("::/0 0.0.0.0/0", "127.0.0.0/8 ::1/128"), "127.0.0.1", False),
        (unit("10.0.0.0/8"), "127.0.0.1", False),
        (unit("10.0.0.0/8"), "db.internal", False),
        (unit("any"), "127.0.0.1", False),
        (unit(""), "127.0.0.1", False),
    ],
)
def test_what_a_unit_may_not_reach(service: Service, host: str, expected: bool) -> None:
    assert bool(denied(service, host)) is expected


def test_the_proxys_own_packets_are_dropped() -> None:
    found = diagnose(machine(unit("::/0 0.0.0.0/0"), Symptom.CONNECT_TIMED_OUT)).findings[0]
    assert (found.cause, "IPAddressDeny" in found.message) == ("connect-timeout", True)
    allowed = diagnose(machine(unit("::/0 0.0.0.0/0", "127.0.0.0/8"), Symptom.CONNECT_TIMED_OUT)).findings[0]
    assert "IPAddressDeny" not in allowed.message


def test_packets_to_the_database_are_dropped() -> None:
    waits = Dependency(target=APP, peer=BASE, connecting=4, busy=4)
    found = diagnose(machine(unit("10.0.0.0/8"), Symptom.READ_TIMED_OUT, waits)).findings[0]
    assert (found.cause, "IPAddressDeny=10.0.0.0/8" in found.message) == ("backend-dependency-down", True)


@pytest.mark.parametrize(
    ("private", "expected"),
    [("yes", "container-network-mismatch"), ("no", "backend-not-running")],  # "no": somebody made that namespace by hand
)
def test_a_unit_that_listens_in_a_network_of_its_own(private: str, expected: str) -> None:
    network = "4026532544"
    service = Service(
        manager="systemd", name="shop.service", state="active", is_running=True, settings={"PrivateNetwork": private}
    )
    here = machine(service, Symptom.CONNECT_REFUSED)
    found = msgspec.structs.replace(
        here,
        listeners=(Listener(target=APP, pids=(7,), network=network),),
        processes=(Process(pid=7, ppid=1, name="shop", unit="shop.service", network=network),),
        networks=(NetworkSpace(inode=network, pid=7, name="shop (pid 7)", addresses=("127.0.0.1", "::1")),),
    )
    first = next((each for each in diagnose(found).findings if each.confidence >= ASSERTED), None)
    assert first is not None and first.cause == expected
    assert ("PrivateNetwork=yes" in first.message) == (private == "yes")
