"""Events of the kernel that name the cgroup of a target's container, without an engine that describes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502 import diagnose
from why502.model.config import Peer, Position, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Event, NetworkSpace, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
APP, OTHER = "b" * 64, "c" * 64
TARGET = Target(host="172.30.0.3", port=3000)


def scene(cgroup: str) -> Snapshot:
    peer = Peer(name=str(TARGET), target=TARGET, network="1")
    route = Route(peers=(peer,), at=Position(file="/etc/nginx/nginx.conf", line=9))
    at = NOW - timedelta(seconds=60)
    refused = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="nginx", target=TARGET, count=5, status=502, first=at, last=NOW)
    killed = Event(
        at=at,
        symptom=Symptom.OOM_KILLED,
        message="Killed process 77 (node)",
        source="dmesg",
        pid=77,
        process="node",
        cgroup=cgroup,
    )
    return Snapshot(
        taken_at=NOW,
        proxies=(Proxy(pid=10, root="/proc/10/root", network="1", routes=(route,)),),
        addresses=("127.0.0.1", "172.30.0.1"),
        networks=(
            NetworkSpace(inode="1", pid=10, name="shop-proxy", container="a" * 64, addresses=("127.0.0.1", "172.30.0.2")),
            NetworkSpace(inode="2", pid=20, name="shop-app", container=APP, addresses=("127.0.0.1", "172.30.0.3")),
        ),
        listeners=(),
        processes=(),
        services=(),
        probes=(),
        events=(killed,),
        logs=LogSummary(tallies=(refused,)),
    )


@pytest.mark.parametrize(
    "cgroup", [f"/docker/{APP}", f"/system.slice/docker-{APP}.scope", f"/machine.slice/libpod-{APP}.scope/container"]
)
def test_a_process_that_the_kernel_killed_in_the_container(cgroup: str) -> None:
    """The engine may say that it was not killed: its cgroup says whose it was."""
    first = diagnose(scene(cgroup)).findings[0]
    assert (first.cause, first.target) == ("backend-oom-killed", TARGET)


def test_a_process_in_another_container() -> None:
    found = diagnose(scene(f"/docker/{OTHER}"))
    assert found.findings[0].cause == "backend-not-running"
    assert [each.cause for each in found.findings if each.cause == "backend-oom-killed"] == []
