"""Choosing the application among several listeners: its own service's, then the nearest by family and by digits;
never PHP-FPM for HTTP.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from why502.diagnosis.case import Case
from why502.diagnosis.causes.proxy.wrong_port import candidates, examine, remedies
from why502.model.config import Peer, Position, Route
from why502.model.finding import PROOF
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.process import Process
from why502.model.proxy import ConfigFile, Proxy
from why502.model.remedy import Edit
from why502.model.service import Service
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 21, 1, tzinfo=UTC)
WANTED = Target(host="127.0.0.1", port=8090)
TEXT = "proxy_pass http://127.0.0.1:8090;"


def case(*listening: tuple[Target, str], services: tuple[Service, ...] = (), protocol: str = "http") -> Case:
    """Return the case of a target that refuses connections, with listeners of programs with these names, each in a unit of
    that name.
    """
    at = Position(file="/etc/nginx/nginx.conf", line=1, start=0, end=len(TEXT))
    route = Route(
        passes=f"{protocol}://{WANTED}", protocol=protocol, at=at, peers=(Peer(name=str(WANTED), target=WANTED, at=at),)
    )
    return Case(
        here=Snapshot(
            taken_at=NOW,
            proxies=(Proxy(pid=1, routes=(route,), files=(ConfigFile(path=at.file, text=TEXT),)),),
            listeners=tuple(Listener(target=target, pids=(100 + n,)) for n, (target, _) in enumerate(listening)),
            processes=tuple(Process(pid=100 + n, name=name, unit=f"{name}.service") for n, (_, name) in enumerate(listening)),
            services=services,
            addresses=(),
            logs=LogSummary(tallies=(Tally(symptom=Symptom.CONNECT_REFUSED, target=WANTED, count=9),)),
        ),
        target=WANTED,
    )


def at(port: int, host: str = "127.0.0.1") -> Target:
    return Target(host=host, port=port)


def order(*listening: tuple[Target, str], **more: object) -> list[Target]:
    return [found.target for found in candidates(case(*listening, **more))]  # type: ignore[arg-type]


def test_the_nearest_by_digits_of_those_that_it_can_reach() -> None:
    assert order((at(8500), "a"), (at(9090), "b"), (at(8091, "::1"), "c"), (at(40123), "d")) == [
        at(9090),
        at(8500),
        at(40123),
        at(8091, "::1"),
    ]


def test_its_own_service_comes_first_wherever_it_listens() -> None:
    services = (Service(manager="systemd", name="shop.service", state="active", is_running=True, targets=(WANTED,)),)
    listening = ((at(8091), "other"), (at(40123), "shop"))
    assert order(*listening, services=services) == [at(40123), at(8091)]
    found = list(examine(case(*listening, services=services)))
    assert any(item.weight == PROOF and "shop.service" in item.message and "40123" in item.message for item in found)


def test_php_fpm_is_no_candidate_for_http_and_nothing_else_where_fastcgi_is_spoken_to_it() -> None:
    assert order((at(9000), "php-fpm8.2"), (at(8091), "node")) == [at(8091)]


def test_what_watches_the_applications_is_none() -> None:
    assert order((at(9113), "nginx-prometheu"), (at(9100), "node_exporter"), (at(9114), "nginx_exporter")) == []
    seen = case((at(9502), "python3"), (at(9503), "python"), (at(9600), "python"))
    commands = (
        ("/usr/bin/python3", "/usr/local/bin/why502", "watch"),
        ("python", "-m", "why502", "watch"),
        ("python", "/srv/why502-shop/app.py"),
    )
    processes = tuple(
        msgspec.structs.replace(process, argv=argv) for process, argv in zip(seen.here.processes or (), commands, strict=True)
    )
    found = candidates(Case(here=msgspec.structs.replace(seen.here, processes=processes), target=WANTED))
    assert [one.target for one in found] == [at(9600)]


def test_another_family_is_proposed_by_its_own_address() -> None:
    (remedy,) = remedies(case((at(8091, "::1"), "node")))
    edits = [edit for step in remedy.steps if isinstance(step, Edit) for edit in (step,)]
    assert "[::1]:8091" in str(edits)
    assert "127.0.0.1:8091" not in str(edits)


def test_another_gateway_that_nothing_leads_to_may_be_the_application() -> None:
    def seen(*listening: Target) -> list[Target]:
        here = case(*((target, "varnishd") for target in listening)).here
        cache = Proxy(kind="varnish", pid=100, workers=tuple(Process(pid=101 + n, name="cache-main") for n in range(2)))
        return [
            found.target
            for found in candidates(Case(here=msgspec.structs.replace(here, proxies=(*here.proxies, cache)), target=WANTED))
        ]

    assert seen(at(8091, "0.0.0.0"), at(8092)) == [at(8091, "0.0.0.0")]  # the other one is its admin interface
    assert seen(at(8091)) == [at(8091)]
    assert seen(at(80, "0.0.0.0"), at(8091)) == []  # it serves the public itself


def test_a_port_for_debuggers_is_never_the_application() -> None:
    assert order((at(9229), "node"), (at(8091), "node")) == [at(8091)]
    assert order((at(9229), "shop")) == [at(9229)]
    here = case((at(5005), "java"), (at(8091), "java")).here
    agent = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=*:5005"
    java = [msgspec.structs.replace(each, argv=("java", agent, "-jar", "shop.jar")) for each in here.processes or ()]
    seen = Case(here=msgspec.structs.replace(here, processes=tuple(java)), target=WANTED)
    assert [found.target for found in candidates(seen)] == [at(8091)]


def test_one_port_of_both_families_is_one_port() -> None:
    found = case((at(8500, "::1"), "a"), (at(8500), "b"))
    listeners = tuple(msgspec.structs.replace(listener, pids=(100,)) for listener in found.here.listeners or ())
    one = Case(here=msgspec.structs.replace(found.here, listeners=listeners), target=WANTED)
    (remedy,) = remedies(one)
    (change,) = (step for step in remedy.steps if isinstance(step, Edit))
    assert change.after == "http://127.0.0.1:8500"


def test_a_port_that_a_manager_holds_for_the_service_is_its_own_however_old_the_manager() -> None:
    """PM2's daemon opens the port of a cluster. The cluster was started again since, and may have chosen another one."""

    def seen(*, main_pid: int) -> list[Target]:
        here = case((at(3000), "PM2 v6")).here
        app = Service(
            manager="pm2",
            name="shop",
            state="online",
            is_running=True,
            main_pid=main_pid,
            started_at=NOW - timedelta(seconds=5),
            targets=(WANTED,),
        )
        traffic = (TargetTraffic(target=WANTED, attempts=90, failures=9, last_success=NOW - timedelta(seconds=6)),)
        daemon = Process(pid=100, name="PM2 v6", started_at=NOW - timedelta(hours=1))
        processes = (daemon, Process(pid=101, ppid=100, name="node"), Process(pid=102, ppid=7, name="node"))
        assert here.logs is not None
        logs = msgspec.structs.replace(here.logs, targets=traffic)
        return [
            one.target
            for one in candidates(
                Case(here=msgspec.structs.replace(here, services=(app,), processes=processes, logs=logs), target=WANTED)
            )
        ]

    assert seen(main_pid=101) == [at(3000)]
    assert seen(main_pid=102) == []  # the daemon is another application's, which was there while the target answered


def test_a_port_that_systemd_holds_is_that_of_the_service_which_runs() -> None:
    here = case((at(9292), "puma")).here
    held = tuple(msgspec.structs.replace(one, pids=(1, *one.pids)) for one in here.listeners or ())
    processes = (Process(pid=1, name="systemd"), *(here.processes or ()))
    proxies = tuple(msgspec.structs.replace(proxy, pid=3) for proxy in here.proxies or ())
    seen = Case(here=msgspec.structs.replace(here, proxies=proxies, listeners=held, processes=processes), target=WANTED)
    (found,) = candidates(seen)
    assert (found.target, seen.name_of(found)) == (at(9292), "puma (pid 100)")


def test_behind_a_stream_the_application_may_be_a_database() -> None:
    database = ((at(8900), "postgres"), (at(6379), "redis-server"))
    assert order(*database, protocol="tcp") == [at(8900)]  # two digits swapped
    assert order(*database, protocol="http") == []
