"""In which network namespace a connection ends."""

from __future__ import annotations

from datetime import UTC, datetime

from why502.diagnosis.homes import Homes
from why502.model.snapshot import NetworkSpace, Snapshot
from why502.model.target import Target

OTHER_USER = 61234
PROXY = NetworkSpace(
    inode="1",
    pid=10,
    name="shop-proxy (aaaa)",
    container="a" * 64,
    addresses=("127.0.0.1", "172.30.0.2"),
    subnets=("172.30.0.0/24",),
)
APP = NetworkSpace(
    inode="2", pid=20, name="shop-app (bbbb)", container="b" * 64, addresses=("127.0.0.1", "172.30.0.3", "172.31.0.3")
)


def homes(*spaces: NetworkSpace) -> Homes:
    here = Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC), addresses=("127.0.0.1", "172.30.0.1"), networks=spaces)
    return Homes(here)


def at(host: str) -> Target:
    return Target(host=host, port=3000)


def test_loopback_is_another_place_for_each() -> None:
    found = homes(PROXY, APP)
    assert [found.of(at("127.0.0.1"), network) for network in ("", "1", "2")] == ["", "1", "2"]
    assert found.of(Target(path="/run/app.sock"), "1") == "1"


def test_addresses_lead_to_their_namespace() -> None:
    found = homes(PROXY, APP)
    assert [found.of(at(host), "1") for host in ("172.30.0.1", "172.30.0.2", "172.30.0.3", "192.0.2.1")] == ["", "1", "2", None]
    assert found.of(at("172.30.0.3"), "") == "2"


def test_an_address_that_two_have_is_unknown() -> None:
    twin = NetworkSpace(inode="3", pid=30, addresses=("172.30.0.3",))
    assert homes(PROXY, APP, twin).of(at("172.30.0.3"), "1") is None
    assert homes(PROXY, APP, twin).of(at("172.30.0.3"), "3") == "3"


def test_a_user_cannot_claim_the_address_of_a_container() -> None:
    """Not even if the container is gone. What leads out of that user's own namespaces may lead there."""
    claims = NetworkSpace(inode="4", pid=40, addresses=("172.30.0.3", "192.0.2.1"), owner_uid=OTHER_USER)
    own = NetworkSpace(inode="5", pid=50, addresses=("10.0.0.5",), owner_uid=OTHER_USER)
    assert homes(PROXY, APP, claims).of(at("172.30.0.3"), "1") == "2"
    assert homes(PROXY, claims).of(at("192.0.2.1"), "1") is None
    assert homes(PROXY, claims, own).of(at("192.0.2.1"), "5") == "4"


def test_networks_in_common() -> None:
    found = homes(PROXY, APP)
    assert found.is_beside("1", at("172.30.0.3")) is True
    assert found.is_beside("1", at("172.31.0.3")) is False
    assert found.is_beside("2", at("172.30.0.2")) is None  # its networks are unknown
    assert found.is_beside("1", at("fd00::3")) is None
    assert found.is_beside("9", at("172.30.0.3")) is None


def test_names() -> None:
    found = homes(PROXY, NetworkSpace(inode="6", pid=60, name="sleep (pid 60)"))
    assert [found.name(network) for network in ("", "1", "6", "9")] == [
        "this host",
        "container shop-proxy (aaaa)",
        "the network namespace of sleep (pid 60)",
        "another network namespace",
    ]
