"""Which targets are probed, in which order and how many; and a real nginx whose backend is gone."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from why502.collectors import probes
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.config import Peer, Position, Route
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.network import Network
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Resolution, Snapshot
from why502.model.target import Target

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def to(*targets: Target, **fields) -> Route:
    peers = tuple(Peer(name=str(target), target=target) for target in targets)
    return Route(**{"passes": f"http://{targets[0]}", "peers": peers, "at": Position(file="a.conf", line=1), **fields})


def knows(*routes: Route, tallies: tuple[Tally, ...] = (), names: tuple[Resolution, ...] = (), **proxy) -> Snapshot:
    proxies = (Proxy(**{"pid": 1, "routes": routes, **proxy}),)
    return Snapshot(taken_at=NOW, proxies=proxies, logs=LogSummary(tallies=tallies), names=names)


def at(port: int, host: str = "127.0.0.1") -> Target:
    return Target(host=host, port=port)


def refused(target: Target | None, **fields) -> Tally:
    return Tally(**{"symptom": Symptom.CONNECT_REFUSED, "target": target, "count": 5, **fields})


def wanted(known: Snapshot) -> list[Target]:
    return [job.request.target for job in probes.chosen(known)[0]]


def test_the_failing_ones_come_first():
    known = knows(to(at(1), at(2), at(3)), tallies=(refused(at(3)), refused(at(2), count=9)))
    assert wanted(known) == [at(2), at(3), at(1)]


def test_a_group_that_failed_as_a_whole():
    known = knows(to(at(1)), to(at(2), upstream="app"), tallies=(refused(None, group="app"),))
    assert wanted(known) == [at(2), at(1)]


def test_the_failing_request_is_asked_where_it_belongs():
    api, shop = to(at(1), location="/api/"), to(at(1), location="/shop/", host_header="$host")
    known = knows(api, shop, tallies=(refused(at(1), requests=(("GET /shop/cart", 3),)),))
    assert [job.request.path for job in probes.chosen(known)[0]] == ["/shop/cart", "/api/"]


def test_one_request_for_routes_that_send_the_same():
    known = knows(to(at(1), location="/a"), to(at(1), location="/b"), to(at(1), host_header="other"))
    assert [job.request.host for job in probes.chosen(known)[0]] == ["127.0.0.1:1", "other"]


def test_not_too_many_for_one_target_or_in_all():
    many = [to(at(1), host_header=f"h{n}") for n in range(20)]
    assert len(wanted(knows(*many))) == probes.REQUESTS_PER_TARGET
    jobs, gaps = probes.chosen(knows(to(*(at(n) for n in range(1, 100))), tallies=(refused(at(99)),)))
    assert len(jobs) == probes.TARGETS
    assert jobs[0].request.target == at(99)
    assert [gap.reason for gap in gaps] == ["35 of 99 targets were not probed: the limit is 64"]


def test_a_log_alone_sends_us_nowhere():
    by_name = Route(passes="http://app:80", peers=(Peer(name="app:80", target=Target(host="app", port=80)),))
    elsewhere = (refused(at(22, "10.9.9.9")), refused(Target(path="/run/other.sock")))
    assert wanted(knows(to(at(1)), by_name, tallies=elsewhere)) == [at(1)]
    old = refused(at(80, "10.0.0.7"))  # the address of the name when nginx was started
    now = Resolution(name="app", addresses=("10.0.0.8",))
    assert wanted(knows(by_name, tallies=(old,), names=(now,))) == [at(80, "10.0.0.7"), at(80, "10.0.0.8")]


def test_targets_that_are_not_probed():
    assert wanted(knows(to(at(1)), pid=None)) == []
    down = Route(passes="http://app", peers=(Peer(name="x", target=at(1), is_down=True),))
    assert wanted(knows(down)) == []


def test_a_target_is_probed_from_the_network_of_its_proxy():
    """The same address in two of them is two targets."""
    here, there = knows(to(at(1))), knows(to(at(1)), network="4026532000")
    both = msgspec.structs.replace(here, proxies=(*here.proxies, *there.proxies))
    jobs, gaps = probes.chosen(both)
    assert ([job.request.network_of for job in jobs], gaps) == ([None, Network(pid=there.proxies[0].pid, inode="4026532000")], [])
    many = [msgspec.structs.replace(there.proxies[0], network=str(number)) for number in range(20)]
    jobs, _ = probes.chosen(msgspec.structs.replace(here, proxies=tuple(many)))
    assert len(jobs) == len(many)  # one container's do not crowd out another's
    found = probes.collect(LocalHost(), there, CollectOptions())
    assert found.value == () and "could not be probed: network namespace of process" in found.gaps[0].reason


@pytest.mark.parametrize("ask", [CollectOptions(probes=False), CollectOptions(offline=True)])
def test_nothing_is_sent_when_it_is_forbidden(ask):
    found = probes.collect(LocalHost(), knows(to(at(1))), ask)
    assert found.value is None
    assert "not probed" in found.gaps[0].reason


def test_unknown_proxies_are_not_an_empty_answer():
    assert probes.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions()).value is None
    assert probes.collect(LocalHost(), Snapshot(taken_at=NOW, proxies=()), CollectOptions()).value == ()


def test_an_own_listener_is_not_asked_directly():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = probes.collect(LocalHost(), knows(to(at(port)), listens=(at(port, "0.0.0.0"),)), CollectOptions())
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert found.value == ()


@pytest.mark.thorough
def test_many_silent_targets_take_no_longer_than_a_few(monkeypatch):
    """Silent targets beyond the limit are a gap, not a wait."""
    monkeypatch.setattr(probes, "BEGIN_WITHIN_S", 0.2)
    monkeypatch.setattr(probes, "AT_ONCE", 4)
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(10)]
    try:
        route = to(*(at(listener.getsockname()[1]) for listener in listeners), read_timeout_s=0.4)
        began = time.monotonic()
        found = probes.collect(LocalHost(), knows(route, network=""), CollectOptions())
    finally:
        for listener in listeners:
            listener.close()
    assert time.monotonic() - began < 10
    assert found.value is not None
    assert [probe.symptom for probe in found.value] == [Symptom.READ_TIMED_OUT] * 4
    assert sum("time budget was used up" in gap.reason for gap in found.gaps) >= 6


@pytest.mark.real
def test_through_a_real_nginx(tmp_path: Path):
    """The backend refuses: probed directly, and once through the proxy; and a URL given by the user."""
    program = next((path for path in ("/usr/sbin/nginx", "/usr/bin/nginx") if Path(path).exists()), None)
    if program is None:
        pytest.skip("needs nginx")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening
        app = at(closed.getsockname()[1])
        with running(
            program, tmp_path, f"location /api/ {{ proxy_pass http://{app}; }} location / {{ return 200 hi; }}"
        ) as front:
            route = to(app, location="/api/", server_names=("shop.test",), listens=(str(front),))
            known = knows(route, listens=(front,))
            found = probes.collect(
                LocalHost(), known, CollectOptions(urls=(f"http://shop.test:{front.port}/", "http://shop.test:1/"))
            )
    assert found.value is not None
    url, direct, through = found.value
    assert (url.status, url.symptom, url.through_proxy, url.url) == (200, None, True, f"http://shop.test:{front.port}/")
    assert (direct.target, direct.symptom, direct.through_proxy) == (app, Symptom.CONNECT_REFUSED, False)
    assert direct.route_at == route.at
    assert (through.status, through.symptom, through.url) == (502, Symptom.GATEWAY_STATUS, f"http://shop.test:{front.port}/api/")
    assert ["port 1" in gap.reason for gap in found.gaps] == [True]


class running:  # noqa: N801 - a context manager
    """An nginx with one server, which inherits a socket that we opened, so that its port cannot be taken by others."""

    def __init__(self, program: str, directory: Path, server: str) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.target = at(self.socket.getsockname()[1])
        temporary = " ".join(
            f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (directory / "nginx.conf").write_text(
            f"{user} daemon off; pid {directory}/pid; error_log {directory}/error.log; events {{ }}\n"
            f"http {{ access_log off; {temporary} server {{ listen {self.target}; {server} }} }}\n"
        )
        number = self.socket.fileno()
        argv = [program, "-p", str(directory), "-c", str(directory / "nginx.conf")]
        self.process = subprocess.Popen(argv, env={"NGINX": f"{number};"}, pass_fds=(number,), stderr=subprocess.DEVNULL)

    def __enter__(self) -> Target:
        return self.target  # the socket listens already: connections wait in its queue

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.socket.close()


@pytest.mark.parametrize(
    ("listens", "is_asked"), [((), True), ((at(80),), True), ((at(8080),), False), ((Target(path="/run/front.sock"),), False)]
)
def test_the_usual_port_is_asked_only_if_the_proxy_may_listen_there(listens: tuple[Target, ...], is_asked: bool) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens: a connection is refused
        app = at(closed.getsockname()[1])
        known = knows(to(app), tallies=(refused(app),), listens=listens)
        found = probes.collect(LocalHost(), known, CollectOptions()).value or ()
    assert any(probe.through_proxy for probe in found) is is_asked


@pytest.mark.parametrize(("heard", "is_asked"), [((), True), (((at(80), 1),), True), (((at(80), 2), (at(8080), 1)), False)])
def test_where_a_proxy_listens_is_seen_if_its_configuration_does_not_say(
    heard: tuple[tuple[Target, int], ...], is_asked: bool
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and nobody listens: a connection is refused
        app = at(closed.getsockname()[1])
        known = msgspec.structs.replace(
            knows(to(app), tallies=(refused(app),)),
            listeners=tuple(Listener(target=target, pids=(pid,)) for target, pid in heard),
        )
        found = probes.collect(LocalHost(), known, CollectOptions()).value or ()
    assert any(probe.through_proxy for probe in found) is is_asked


def test_a_bug_free_pool(monkeypatch):
    """Probes run in parallel, and their results have the order of the requests."""
    barrier = threading.Barrier(3, timeout=10)

    def slow(host, request):
        barrier.wait()
        from why502.model.probe import Probe

        return Probe(target=request.target)

    monkeypatch.setattr(probes, "probe", slow)
    found = probes.collect(LocalHost(), knows(to(at(1), at(2), at(3))), CollectOptions())
    assert [probe.target for probe in found.value or ()] == [at(1), at(2), at(3)]


def test_a_service_that_a_connection_would_start_is_not_probed():
    """systemd listens for a stopped service: its first connection starts it."""
    target = Target(path="/run/app.sock")

    def known(*pids: int) -> Snapshot:
        return msgspec.structs.replace(knows(to(target), pid=7), listeners=(Listener(target=target, pids=pids),))

    assert probes.activated(known(1)) == {target}
    assert probes.activated(known(1, 77)) == frozenset()
    found = probes.collect(LocalHost(), known(1), CollectOptions())
    assert found.value == ()
    assert [gap.reason for gap in found.gaps] == [probes.WOULD_START.format(target=target)]


@pytest.mark.parametrize("state", ["S", "T"])
def test_each_silent_target_is_waited_for_once_and_a_stopped_one_hardly(monkeypatch, state):
    """A silent target is probed once with the long timeout; if all its listeners are stopped by a signal, the wait is short."""
    asked: list[float] = []

    def silent(host, request):
        asked.append(request.answer_s)
        return Probe(target=request.target, symptom=Symptom.READ_TIMED_OUT)

    monkeypatch.setattr(probes, "probe", silent)
    here = msgspec.structs.replace(
        knows(to(at(3000))),
        processes=(Process(pid=40, name="java", state=state),),
        listeners=(Listener(target=at(3000), pids=(40,)),),
    )
    probes.collect(LocalHost(), here, CollectOptions())
    assert asked == [probes.STOPPED_S if state == "T" else probes.PATIENT_S]
    assert probes.PATIENT_S < probes.LIMIT_S
