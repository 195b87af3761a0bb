"""Which of two near causes it is: another program's socket is not PHP's; a host that answers ARP rejects; a check names an errno."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from why502.diagnosis import diagnose
from why502.model.config import Peer, Route
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.snapshot import NetworkPath, PhpPool, Proxy, Service, Snapshot
from why502.model.target import Target
from why502.sources.other_proxies import addressed

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def sure(target: Target, *tallies: Tally, protocol: str = "http", location: str = "/", **more: object) -> dict[str, float]:
    """Return the causes that are asserted of a target, with their confidence."""
    route = Route(location=location, protocol=protocol, peers=(Peer(name=str(target), target=target),))
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        logs=LogSummary(tallies=tallies),
        listeners=(),
        **more,  # type: ignore[arg-type]
    )
    findings = diagnose(here).findings
    return {
        finding.cause: finding.confidence for finding in findings if finding.target == target and finding.confidence >= ASSERTED
    }


POOL = PhpPool(name="www", version="8.3", file="/etc/php/pool.conf", master_pid=8, target=Target(path="/run/php/php8.3-fpm.sock"))


@pytest.mark.parametrize(
    ("path", "location", "unit", "expected"),
    [
        ("/run/php/php8.1-fpm.sock", "/", "", True),
        ("/run/app.sock", "~ \\.php$", "", True),
        ("/run/cgi.sock", "/git/", "cgi.service", False),
        ("/run/cgi.sock", "~ \\.php$", "cgi.service", False),
    ],
)
def test_only_what_may_be_phps_is_taken_for_a_pools_socket(path: str, location: str, unit: str, expected: bool) -> None:
    target = Target(path=path)
    tally = Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy="nginx", target=target, count=9, first=AT, last=AT)
    services = (
        (Service(manager="systemd", name=unit, state="inactive", is_running=False, argv=("/usr/sbin/cgid",), targets=(target,)),)
        if unit
        else ()
    )
    found = sure(target, tally, protocol="fastcgi", location=location, php_pools=(POOL,), services=services)
    assert (found.get("php-fpm-socket-mismatch", 0.0) > 0.9) == expected, found


def test_another_fastcgi_programs_path_is_never_surely_phps() -> None:
    target = Target(path="/run/cgi.sock")
    tally = Tally(symptom=Symptom.SOCKET_PATH_MISSING, proxy="nginx", target=target, count=9, first=AT, last=AT)
    assert sure(target, tally, protocol="fastcgi", location="/git/", php_pools=(POOL,)).get("php-fpm-socket-mismatch", 0.0) < 0.8


@pytest.mark.parametrize(("gateway", "expected"), [("", True), ("10.0.0.1", False)])
def test_a_neighbour_that_tells_only_some_attempts_rejects_all(gateway: str, expected: bool) -> None:
    target = Target(host="10.0.0.9", port=9000)
    tallies = (
        Tally(symptom=Symptom.HOST_UNREACHABLE, proxy="nginx", target=target, errno=113, count=9, first=AT, last=AT),
        Tally(symptom=Symptom.CONNECT_TIMED_OUT, proxy="nginx", target=target, errno=110, count=9, first=AT, last=AT),
    )
    path = NetworkPath(address=target.host, device="eth0", gateway=gateway, neighbour="REACHABLE")
    found = sure(target, *tallies, paths=(path,), addresses=("10.0.0.2",))
    assert (found.get("connect-rejected", 0.0) > 0.9) == expected, found
    assert "connect-timeout" not in found or not expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((Symptom.CONNECT_DENIED,), Symptom.CONNECT_DENIED),
        ((Symptom.CONNECT_REFUSED,), Symptom.CONNECT_REFUSED),
        ((Symptom.CONNECT_DENIED, Symptom.CONNECT_REFUSED), Symptom.CONNECT_REFUSED),
        ((), Symptom.CONNECT_REFUSED),
    ],
)
def test_the_checks_of_haproxy_tell_why_its_requests_found_nobody(said: tuple[Symptom, ...], expected: Symptom) -> None:
    target = Target(path="/run/app.sock")
    tallies = (
        Tally(symptom=Symptom.CONNECT_REFUSED, proxy="haproxy", target=target, code="SC--", status=503),
        *(Tally(symptom=symptom, proxy="haproxy", target=target, code="SOCKERR") for symptom in said),
    )
    assert addressed(LogSummary(tallies=tallies), ()).tallies[0].symptom is expected
