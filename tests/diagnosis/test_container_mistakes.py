"""Recorded mistakes with containers: the answer, and what must change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

import why502
from why502.model.container import Container, ContainerEvent
from why502.model.finding import ASSERTED, Diagnosis
from why502.model.logs import Symptom
from why502.model.snapshot import Snapshot
from why502.supervisors.docker.history import of_history

RECORDED = Path(__file__).parents[1] / "data/containers/recorded"
SURE = 0.8
MISMATCH = "container-network-mismatch"


def snapshot(name: str) -> Snapshot:
    path = RECORDED / f"{name}-fault.why502"
    found = why502.load(path.read_bytes(), path.name)
    assert isinstance(found, Snapshot)
    return found


def asserted(known: Snapshot) -> set[str]:
    return {found.cause for found in why502.diagnose(known).findings if found.confidence >= ASSERTED}


def first(known: Snapshot) -> tuple[str, str, str]:
    found = why502.diagnose(known).findings[0]
    assert found.confidence >= ASSERTED
    return found.cause, str(found.target), found.message


def changed(known: Snapshot, name: str, change: Callable[[Container], Container]) -> Snapshot:
    """Return the snapshot with one container changed."""
    return replace(known, containers=tuple(change(one) if one.name == name else one for one in known.containers or ()))


@pytest.mark.parametrize(
    ("name", "cause", "target", "words"),
    [
        ("secret-missing-docker", "backend-startup-failure", "172.29.0.20:3000", "had served nothing: FileNotFoundError"),
        ("port-held-docker", "port-conflict", "127.0.0.1:8081", "should publish port 8081, and was never started"),
        ("port-held-podman", "port-conflict", "127.0.0.1:8081", "should publish port 8081, and was never started"),
        ("haproxy-recreated-docker", "stale-dns", "api:3000", "after the proxy had looked the name up"),
        ("port-not-published-docker", MISMATCH, "127.0.0.1:3000", "and does not publish it"),
        ("internal-network-published-docker", MISMATCH, "127.0.0.1:8081", "nothing forwards that port"),
        ("disconnected-podman", MISMATCH, "10.89.0.2:3000", "they share no network"),
        ("application-in-host-network-docker", MISMATCH, "api:3000", "uses the machine's own network"),
        ("proxy-in-host-network-docker", "wrong-port", "127.0.0.1:3000", "the machine has it as port 8081"),
        (
            "removed-network-podman",
            "wrong-address",
            "172.29.7.20:3000",
            "no container and no network of the proxy has 172.29.7.20",
        ),
        ("volume-full-docker", "disk-full", "172.18.0.2:3000", "No space left on device"),
        ("proxy-read-only-podman", "proxy-config-invalid", "None", "Read-only file system"),
        ("caddy-localhost-docker", MISMATCH, "127.0.0.1:3000", "127.0.0.1 is the container itself"),
        ("one-pod-stopped-podman", "backend-not-running", "127.0.0.1:3000", "shop-api"),
        ("pod-crash-loop-kubelet", "backend-crash-loop", "10.244.0.2:3000", "Cannot find module 'pg'"),
    ],
)
def test_the_first_answer(name: str, cause: str, target: str, words: str) -> None:
    found = first(snapshot(name))
    assert found[:2] == (cause, target)
    assert words in found[2]


def test_an_address_of_the_family_that_a_container_lacks_is_no_lack_of_ports() -> None:
    assert "ephemeral-ports-exhausted" not in asserted(snapshot("caddy-localhost-docker"))


def test_of_two_containers_with_an_unpublished_port_none_is_meant() -> None:
    known = snapshot("port-not-published-docker")
    one = next(iter(known.containers or ()))
    assert MISMATCH not in asserted(replace(known, containers=(one, replace(one, id="f" * 64, name="other"))))


def test_a_container_of_another_user_decides_nothing() -> None:
    """Anyone may make one that listens on the port of a dead backend."""
    known = snapshot("port-not-published-docker")
    found = changed(known, "shop-api-1", lambda one: replace(one, owner_uid=1000))
    assert not asserted(found) & {MISMATCH, "backend-not-running"}


def test_a_port_that_a_stopped_service_had_is_not_a_container_s() -> None:
    known = snapshot("secret-missing-docker")
    service = replace(next(iter(known.services or ())), manager="systemd", name="shop.service", reason=())
    at = snapshot("port-not-published-docker")
    target = why502.diagnose(at).findings[0].target
    assert target is not None
    assert MISMATCH not in asserted(replace(at, services=(replace(service, targets=(target,)),)))


@pytest.mark.parametrize("lasted_s", [61.0, 4000.0])
def test_a_container_that_ran_for_long_did_start(lasted_s: float) -> None:
    known = snapshot("secret-missing-docker")
    service = next(iter(known.services or ()))
    assert service.stopped_at is not None
    began = service.stopped_at - timedelta(seconds=lasted_s)
    changed_one = replace(known, services=(replace(service, started_at=began),))
    assert "backend-startup-failure" not in asserted(changed_one)


def test_a_container_that_ended_without_a_word_or_an_error_is_only_known_to_have_ended() -> None:
    known = snapshot("secret-missing-docker")
    service = next(iter(known.services or ()))
    for one in (replace(service, reason=()), replace(service, exit_code=0)):
        assert first(replace(known, services=(one,)))[0] == "backend-not-running"


def test_what_holds_the_port_of_a_running_container_is_its_engine_s() -> None:
    known = snapshot("port-held-podman")
    assert "port-conflict" not in asserted(changed(known, "api", lambda one: replace(one, state="running")))
    assert "port-conflict" not in asserted(changed(known, "api", lambda one: replace(one, state="exited")))


def test_a_container_that_began_before_the_proxy_has_the_address_that_the_proxy_knows() -> None:
    known = snapshot("haproxy-recreated-docker")
    early = next(one.started_at for one in known.containers or () if one.name == "edge")
    assert early is not None
    found = changed(known, "api", lambda one: replace(one, started_at=early - timedelta(minutes=1)))
    assert "stale-dns" not in asserted(found)


def test_an_address_of_nobody_has_no_meaning_where_two_containers_may_be_meant() -> None:
    known = snapshot("removed-network-podman")
    one = next(one for one in known.containers or () if one.name == "api")
    other = replace(one, id="f" * 64, name="other", attachments=tuple(replace(x, address="10.89.0.9") for x in one.attachments))
    assert "wrong-address" not in asserted(replace(known, containers=(*(known.containers or ()), other)))


def test_a_full_disk_of_another_container_is_not_this_application_s() -> None:
    known = snapshot("volume-full-docker")
    events = tuple(
        replace(event, unit="mail", source="docker logs mail") if event.symptom is Symptom.DISK_FULL else event
        for event in known.events or ()
    )
    assert "disk-full" not in asserted(replace(known, events=events))


def without_a_link(known: Snapshot) -> Snapshot:
    """Return the snapshot of a busy machine: its engine did not tell what the ended container is for."""
    bare = tuple(replace(one, links={}) for one in known.containers or ())
    return replace(known, containers=bare, services=())


def test_another_container_of_a_pod_is_a_program_of_its_own() -> None:
    """The cache that listens beside a stopped application is not that application on another port."""
    assert "wrong-port" not in asserted(without_a_link(snapshot("one-pod-stopped-podman")))


def test_containers_that_no_engine_described_may_have_ended() -> None:
    known = replace(without_a_link(snapshot("one-pod-stopped-podman")), containers=None)
    assert not any(found.cause == "wrong-port" and found.confidence >= ASSERTED for found in answer(known).findings)


def answer(known: Snapshot) -> Diagnosis:
    return why502.diagnose(known)


def test_the_only_other_container_of_a_pod_may_be_the_application_on_another_port() -> None:
    known = without_a_link(snapshot("one-pod-stopped-podman"))
    rest = tuple(one for one in known.containers or () if one.name != "shop-api")
    assert "wrong-port" in asserted(replace(known, containers=rest))


@pytest.mark.parametrize(
    ("error", "symptom"),
    [
        ("driver failed programming external connectivity: Bind for 0.0.0.0:8081 failed: port is already allocated",
         Symptom.ADDRESS_IN_USE),
        ("Error starting userland proxy: listen tcp4 0.0.0.0:8081: bind: address already in use", Symptom.ADDRESS_IN_USE),
        ("network 0b2c not found", Symptom.START_FAILED),
        ("error mounting \"/srv/app.conf\": not a directory", Symptom.START_FAILED),
    ],
)  # fmt: skip
def test_what_an_engine_says_of_a_container_that_it_could_not_start(error: str, symptom: Symptom) -> None:
    one = next(iter(snapshot("port-held-docker").containers or ()))
    assert [event.symptom for event in of_history(replace(one, error=error, history=()))] == [symptom]
    started: tuple[ContainerEvent, ...] = ()
    assert not list(of_history(replace(one, error=error, history=started, state="running")))
