"""A machine without IPv6, a network error that looks like a firewall policy, and a service that moved to a socket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.model.config import Peer, Route
from why502.model.finding import Finding
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Kernel, Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)
SIX = Target(host="fd00:70::1", port=8080)


def first(target: Target, symptom: Symptom, errno: int, **fields: object) -> Finding:
    """Return the first finding if connections to a target fail with this error."""
    at = NOW - timedelta(minutes=1)
    route = Route(passes=f"http://{target}", peers=(Peer(name=str(target), target=target),))
    tally = Tally(
        symptom=symptom,
        proxy="nginx",
        target=target,
        errno=errno,
        status=502,
        named="wrong-address" if errno == 99 else "",
        count=30,
        first=at,
        last=NOW,
    )
    logs = LogSummary(tallies=(tally,))
    return diagnose(Snapshot(taken_at=NOW, proxies=(Proxy(pid=1, routes=(route,)),), logs=logs, **fields)).findings[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("addresses", "cause"),
    [(("127.0.0.1", "203.0.113.10"), "host-unreachable"), (("127.0.0.1", "::1", "fd00:70::9"), "wrong-address")],
    ids=["no IPv6 at all", "some"],
)
def test_an_address_of_a_family_that_the_machine_lacks(addresses: tuple[str, ...], cause: str) -> None:
    assert first(SIX, Symptom.NO_LOCAL_PORT, 99, addresses=addresses).cause == cause


@pytest.mark.parametrize(("is_own", "cause"), [(True, "connect-rejected"), (False, "selinux-denied")])
def test_a_rejection_for_every_client_is_not_a_policy_against_the_proxy(is_own: bool, cause: str) -> None:
    probe = Probe(target=SIX, symptom=Symptom.CONNECT_DENIED, errno=13, at=NOW)
    found = first(SIX, Symptom.CONNECT_DENIED, 13, probes=(probe,) if is_own else (), kernel=Kernel())
    assert found.cause == cause


def test_a_service_that_moved_to_a_socket() -> None:
    target = Target(host="127.0.0.1", port=8000)
    service = Service(
        manager="supervisord", name="web", is_running=True, main_pid=9, targets=(target,), started_at=NOW - timedelta(hours=1)
    )
    socket = Listener(target=Target(path="/run/web.sock"), pids=(9,), is_at_path=True)
    found = first(
        target,
        Symptom.CONNECT_REFUSED,
        111,
        services=(service,),
        listeners=(socket,),
        processes=(Process(pid=9, name="gunicorn", started_at=NOW - timedelta(hours=1)),),
        addresses=("127.0.0.1",),
    )
    assert (found.cause, "/run/web.sock" in found.message) == ("wrong-address", True)
