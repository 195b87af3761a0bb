"""What recorded machines with real engines show, and what must change the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

import why502
from why502.diagnosis.causes.network.network_policy_denies import MONITOR
from why502.model.finding import Finding
from why502.model.snapshot import Snapshot

RECORDED = Path(__file__).parents[1] / "data/containers/recorded"
SURE = 0.8
LONG_AGO = datetime(2026, 11, 22, tzinfo=UTC)  # before the window


def snapshot(name: str) -> Snapshot:
    path = RECORDED / f"{name}-fault.why502"
    found = why502.load(path.read_bytes(), path.name)
    assert isinstance(found, Snapshot)
    return found


def first(known: Snapshot) -> Finding:
    return why502.diagnose(known).findings[0]


def test_the_rules_of_a_published_port_are_gone() -> None:
    """podman's monitor holds the port and never accepts."""
    known = snapshot("ruleset-flushed-podman")
    found = first(known)
    assert (found.cause, str(found.target)) == ("network-policy-denies", "127.0.0.1:8081")
    assert found.confidence >= SURE and MONITOR in found.message
    assert any("podman network reload --all" in remedy.message for remedy in found.remedies)
    idle = tuple(msgspec.structs.replace(one, queued=0) for one in known.listeners or ())
    assert first(msgspec.structs.replace(known, listeners=idle)).cause != "network-policy-denies"


def test_a_paused_container() -> None:
    found = first(snapshot("paused-docker"))
    assert (found.cause, str(found.target)) == ("backend-hung", "127.0.0.1:8082")
    assert found.message.startswith("container api-2 is paused")
    assert [remedy.message for remedy in found.remedies] == ["let it go on: `docker unpause api-2`"]


@pytest.mark.parametrize("is_probed", [False, True])
def test_a_paused_container_that_no_request_met(*, is_probed: bool) -> None:
    """Nothing has failed yet, and it was not probed; an answer of now would show that it is not the target."""
    known = snapshot("paused-docker")
    assert known.logs is not None
    paused = next(one.target for one in known.probes or () if str(one.target) == "127.0.0.1:8082")
    probes = tuple(one for one in known.probes or () if one.target != paused)
    answer = tuple(msgspec.structs.replace(one, target=paused) for one in probes[:1])
    logs = msgspec.structs.replace(known.logs, tallies=())
    found = why502.diagnose(msgspec.structs.replace(known, logs=logs, probes=(*probes, *answer * is_probed))).findings
    hung = [finding.confidence for finding in found if finding.cause == "backend-hung" and finding.target == paused]
    assert [sure >= SURE for sure in hung] == ([] if is_probed else [True])


def test_a_gateway_that_ends_as_soon_as_it_starts() -> None:
    assert first(snapshot("name-unknown-at-start-podman")).cause == "proxy-config-invalid"


@pytest.mark.parametrize("state", ["exited", "restarting"])
def test_a_container_that_could_not_be_examined_may_be_the_gateway(state: str) -> None:
    """Its engine was too slow: that the machine's own nginx does not run proves nothing then."""
    known = snapshot("name-unknown-at-start-podman")
    unknown = tuple(
        msgspec.structs.replace(one, state=state, is_whole=False, argv=(), last_words=(), restarts=None)
        for one in known.containers or ()
    )
    findings = why502.diagnose(msgspec.structs.replace(known, containers=unknown)).findings
    assert not any(found.cause == "proxy-not-running" and found.confidence >= SURE for found in findings)


def test_a_route_that_ended_with_its_container() -> None:
    """Traefik takes its routes from labels: without the container it answers 404."""
    known = snapshot("traefik-stopped-docker")
    found = first(known)
    assert found.cause == "backend-not-running" and found.confidence >= SURE
    assert str(found.target) == "shop-api-1"
    assert found.message.startswith("container shop-api-1 (compose service api), whose labels give traefik a route, ended at")
    assert [remedy.message for remedy in found.remedies] == [
        "start it: `docker compose -f /srv/shop/compose.yaml -p shop start api`"
    ]


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"routed_port": 3000, "exposed": (80,)}, "shop-api-1:3000"),
        ({"exposed": (80,)}, "shop-api-1:80"),
        ({"exposed": (80, 81)}, "shop-api-1"),
    ],
)
def test_the_name_and_port_of_an_ended_container_without_an_address(changes: dict[str, Any], target: str) -> None:
    known = snapshot("traefik-stopped-docker")
    others = tuple(msgspec.structs.replace(one, **changes) if one.name == "shop-api-1" else one for one in known.containers or ())
    assert str(first(msgspec.structs.replace(known, containers=others)).target) == target


@pytest.mark.parametrize("changes", [{"gateways": ()}, {"state": "running", "stopped_at": None}, {"stopped_at": LONG_AGO}])
def test_a_route_that_no_ended_container_had(changes: dict[str, Any]) -> None:
    known = snapshot("traefik-stopped-docker")
    others = tuple(msgspec.structs.replace(one, **changes) if one.name == "shop-api-1" else one for one in known.containers or ())
    assert first(msgspec.structs.replace(known, containers=others)).cause == "route-not-found"


def test_another_container_of_that_service_has_the_route() -> None:
    known = snapshot("traefik-stopped-docker")
    api = next(one for one in known.containers or () if one.name == "shop-api-1")
    second = msgspec.structs.replace(api, id="f" * 64, name="shop-api-2", state="running", stopped_at=None, exit_code=None)
    known = msgspec.structs.replace(known, containers=(*(known.containers or ()), second))
    assert first(known).cause == "route-not-found"


def test_a_database_that_ended_behind_a_named_application() -> None:
    """The access log names no address, and the proxy's name for the application is known in its own network namespace only."""
    found = first(snapshot("compose-database-stopped-docker"))
    assert (found.cause, str(found.target)) == ("backend-dependency-down", "172.18.0.3:3000")
    assert found.confidence >= SURE
