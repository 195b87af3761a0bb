"""Apache's error log calls a unix socket by the URL behind it."""

from __future__ import annotations

import pytest

from why502.gateways.apache.tallies import settled
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.target import Target

ONE, OTHER = Target(path="/run/one.sock"), Target(path="/run/other.sock")
URL = Target(host="app", port=80)


def apache(*targets: Target) -> Proxy:
    """Return an Apache with a route for each socket, all with the same URL behind it, and one for an address."""
    peers = [Peer(name=f"unix:{target.path}|http://app/", target=target) for target in targets]
    peers.append(Peer(name="http://127.0.0.1:3000/", target=Target(host="127.0.0.1", port=3000)))
    return Proxy(kind="apache", pid=1, routes=tuple(Route(proxy="apache", peers=(peer,), passes=peer.name) for peer in peers))


def late(target: Target) -> Tally:
    return Tally(symptom=Symptom.READ_TIMED_OUT, proxy="apache", target=target, count=3)


def answered(target: Target) -> Tally:
    return Tally(
        symptom=Symptom.GATEWAY_STATUS, proxy="apache", target=target, count=3, status=502, requests=(("GET /ledger", 3),)
    )


@pytest.mark.parametrize(
    ("sockets", "failing", "target"),
    [((ONE,), (ONE,), ONE), ((ONE, OTHER), (OTHER,), OTHER), ((ONE, OTHER), (ONE, OTHER), None), ((ONE, OTHER), (), None)],
)
def test_a_failure_is_of_the_socket_that_is_meant(
    sockets: tuple[Target, ...], failing: tuple[Target, ...], target: Target | None
) -> None:
    tallies = (late(URL), *(answered(each) for each in failing))
    found = settled(LogSummary(tallies=tallies), (apache(*sockets),)).tallies
    assert [tally.target for tally in found if tally.symptom is Symptom.READ_TIMED_OUT] == [target]


def test_one_failure_of_both_logs_counts_once() -> None:
    (found,) = settled(LogSummary(tallies=(late(URL), answered(ONE))), (apache(ONE),)).tallies
    assert (found.symptom, found.target, found.count, found.requests) == (Symptom.READ_TIMED_OUT, ONE, 3, (("GET /ledger", 3),))


def test_an_address_stays_an_address() -> None:
    place = Target(host="127.0.0.1", port=3000)
    (found,) = settled(LogSummary(tallies=(late(place),)), (apache(ONE),)).tallies
    assert found.target == place
