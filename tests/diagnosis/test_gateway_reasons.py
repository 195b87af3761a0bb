"""Choosing between two similar causes: another program's socket is not PHP's; a host that answers ARP rejects;
a check names an errno.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from why502.diagnosis.engine import diagnose
from why502.gateways.haproxy import config as haproxy
from why502.gateways.tallies import settled
from why502.model.config import Peer, Position, Route
from why502.model.finding import ASSERTED
from why502.model.logs import LogSummary, PathTraffic, Symptom, Tally
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Listener, NetworkPath, Snapshot
from why502.model.target import Target

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def sure(target: Target, *tallies: Tally, protocol: str = "http", location: str = "/", **more: object) -> dict[str, float]:
    """Return the causes asserted for a target, with their confidence."""
    route = Route(location=location, protocol=protocol, peers=(Peer(name=str(target), target=target),))
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        logs=LogSummary(tallies=tallies),
        **{"listeners": (), **more},  # type: ignore[arg-type]
    )
    findings = diagnose(here).findings
    return {
        finding.cause: finding.confidence for finding in findings if finding.target == target and finding.confidence >= ASSERTED
    }


POOL = PhpPool(name="www", file="/etc/php/pool.conf", master_pid=8, target=Target(path="/run/php/php8.3-fpm.sock"))


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
def test_a_host_that_reports_only_some_rejections_rejects_all(gateway: str, expected: bool) -> None:
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
def test_haproxy_checks_explain_why_no_server_was_left(said: tuple[Symptom, ...], expected: Symptom) -> None:
    target = Target(path="/run/app.sock")
    tallies = (
        Tally(symptom=Symptom.CONNECT_REFUSED, proxy="haproxy", target=target, code="SC--", status=503),
        *(Tally(symptom=symptom, proxy="haproxy", target=target, code="SOCKERR") for symptom in said),
    )
    assert settled(LogSummary(tallies=tallies), ()).tallies[0].symptom is expected


SHOP = Target(host="127.0.0.1", port=7000)
STOPPED = AT - timedelta(seconds=60)


def moved(unit: str, cgroup: str, begun: datetime, lived_s: float = 900) -> Snapshot:
    """Return a machine on which the target's service was stopped and another process listens on another port."""
    route = Route(peers=(Peer(name=str(SHOP), target=SHOP),))
    tally = Tally(symptom=Symptom.CONNECT_REFUSED, proxy="nginx", target=SHOP, count=9, first=STOPPED, last=AT)
    service = Service(
        manager="systemd",
        name="shop@7000.service",
        state="inactive",
        is_running=False,
        started_at=STOPPED - timedelta(seconds=lived_s),
        stopped_at=STOPPED,
        targets=(SHOP,),
    )
    return Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        logs=LogSummary(tallies=(tally,)),
        services=(service,),
        listeners=(Listener(target=Target(host="127.0.0.1", port=7500), pids=(50,)),),
        processes=(Process(pid=50, name="ruby", unit=unit, cgroup=cgroup, started_at=begun),),
        addresses=(),
    )


SLICE = "/system.slice/system-shop.slice/shop@7500.service"


@pytest.mark.parametrize(
    ("unit", "cgroup", "after_s", "expected"),
    [
        ("shop@7500.service", SLICE, 2, True),
        ("shop@7500.service", SLICE, -600, False),  # another service that ran beside it
        ("shop@7500.service", SLICE, 50, False),
        ("mail@7500.service", SLICE, 2, False),
        ("shop@7500.service", "/user.slice/user-1000.slice/user@1000.service/system.slice/shop@7500.service", 2, False),
    ],
)
def test_an_instance_that_took_the_others_place(unit: str, cgroup: str, after_s: float, expected: bool) -> None:
    findings = diagnose(moved(unit, cgroup, STOPPED + timedelta(seconds=after_s))).findings
    assert (findings[0].cause == "wrong-port") == expected, [(f.cause, f.confidence) for f in findings[:3]]


@pytest.mark.parametrize(("lived_s", "after_s"), [(3, -3), (3, -2.7), (900, -2), (0.4, -0.4)])
def test_an_instance_that_began_together_with_the_other_took_no_place(lived_s: float, after_s: float) -> None:
    findings = diagnose(moved("shop@7500.service", SLICE, STOPPED + timedelta(seconds=after_s), lived_s)).findings
    assert findings[0].cause == "backend-not-running"


@pytest.mark.parametrize(("states", "expected"), [("TT", True), ("TS", False), ("SS", False)])
def test_a_target_held_only_by_stopped_processes_is_reported_without_log_lines(states: str, expected: bool) -> None:
    route = Route(protocol="tcp", peers=(Peer(name=str(SHOP), target=SHOP),))
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)),),
        logs=LogSummary(),
        listeners=(Listener(target=SHOP, pids=(50, 51)),),
        processes=tuple(Process(pid=50 + n, name="worker", state=state) for n, state in enumerate(states)),
    )
    found = [finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED]
    assert found == (["backend-hung"] if expected else [])


@pytest.mark.parametrize(
    ("headers", "statuses", "expected"),
    [
        ((), {"426": 4, "101": 9}, True),
        ((), {"426": 4}, True),
        ((), {"426": 2, "200": 9}, False),
        ((("Upgrade", "$http_upgrade"),), {"426": 4}, False),
        ((), {"400": 40}, False),
    ],
)
def test_upgrades_that_the_route_drops(headers: tuple[tuple[str, str], ...], statuses: dict[str, int], expected: bool) -> None:
    at = Position(file="/etc/nginx/site", line=4)
    route = Route(location="/live", headers=headers, at=at, peers=(Peer(name=str(SHOP), target=SHOP),))
    path = PathTraffic(request="GET /live", location="/live", at=at, statuses=statuses, last_refused=AT)
    here = Snapshot(taken_at=AT, proxies=(Proxy(pid=3, routes=(route,)),), logs=LogSummary(paths=(path,)))
    found = [finding.cause for finding in diagnose(here).findings if finding.confidence >= ASSERTED]
    assert found == (["websocket-upgrade-missing"] if expected else [])


@pytest.mark.parametrize(
    ("bind", "protocol", "expected"),
    [
        ("127.0.0.1:7000 accept-proxy", "http", True),
        (":7000 name a accept-proxy", "http", True),
        ("127.0.0.1:7000", "http", False),
        ("127.0.0.1:7001 accept-proxy", "http", False),
        ("10.0.0.1:7000 accept-proxy", "http", False),
        ("127.0.0.1:7000 accept-proxy", "tcp", False),
    ],
)
def test_a_gateway_that_wants_a_proxy_header_first(bind: str, protocol: str, expected: bool) -> None:
    inner = haproxy.load(f"frontend web\n bind {bind}\n default_backend b\nbackend b\n server s 10.0.0.9:80\n", "haproxy.cfg")
    route = Route(protocol=protocol, peers=(Peer(name=str(SHOP), target=SHOP),))
    tally = Tally(symptom=Symptom.RESET_BEFORE_HEADER, proxy="nginx", target=SHOP, count=9, first=AT, last=AT)
    here = Snapshot(
        taken_at=AT,
        proxies=(Proxy(pid=3, routes=(route,)), Proxy(kind="haproxy", pid=4, routes=inner.routes)),
        logs=LogSummary(tallies=(tally,)),
        listeners=(Listener(target=SHOP, pids=(4,)),),
        processes=(Process(pid=4, name="haproxy"),),
        addresses=(),
    )
    assert (diagnose(here).findings[0].cause == "wrong-protocol") == expected


@pytest.mark.parametrize(
    ("began_s", "restarts", "expected"), [(-3600, 1, True), (-120, 1, True), (-4, 0, True), (-4, 1, False), (-4, None, False)]
)
def test_a_service_restarted_a_moment_ago_is_not_behind_a_firewall(began_s: float, restarts: int | None, expected: bool) -> None:
    """`restarts` None: no manager tells of it."""
    tally = Tally(
        symptom=Symptom.CONNECT_REFUSED, proxy="nginx", target=SHOP, count=40, first=AT - timedelta(seconds=300), last=AT
    )
    probe = Probe(target=SHOP, protocol="http", symptom=Symptom.CONNECT_REFUSED, detail="Connection refused", at=AT)
    found = sure(
        SHOP,
        tally,
        probes=(probe,),
        services=(Service(manager="systemd", name="a", state="active", is_running=True, restarts=restarts, targets=(SHOP,)),)
        if restarts is not None
        else (),
        processes=(Process(pid=50, name="java", started_at=AT + timedelta(seconds=began_s)),),
        addresses=(),
        listeners=(Listener(target=SHOP, pids=(50,)),),
    )
    assert ("connect-rejected" in found) == expected, found
