"""What each sampler makes of what it reads: values, and gaps where it cannot read."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from nginx_real import until

from why502.host.base import KernelSocket, Space
from why502.host.local import LocalHost
from why502.model.config import Peer, Position, Route
from why502.model.errors import Denied, HostError
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool
from why502.model.snapshot import Gap, Listener, Snapshot
from why502.model.target import Target
from why502.watch.limits import sampler as running
from why502.watch.limits import samplers
from why502.watch.limits.queues import queues
from why502.watch.limits.sampler import Sampler, sampled
from why502.watch.model import Limit, LimitKind, Severity
from why502.watch.progress import Progress

NOW = datetime(2026, 11, 21, tzinfo=UTC)
A = Target(host="127.0.0.1", port=3000)
EVERYWHERE = Target(host="0.0.0.0", port=3000)


def of(name: str, host: LocalHost, known: Snapshot) -> tuple[list[Limit], list[Gap]]:
    found = sampled(samplers()[name], host, known)
    return [one for one in found if isinstance(one, Limit)], [one for one in found if isinstance(one, Gap)]


def knows(*targets: Target, **fields: object) -> Snapshot:
    peers = tuple(Peer(name=str(target), target=target) for target in targets)
    route = Route(passes="http://app", peers=peers, at=Position(file="a.conf", line=1))
    return Snapshot(**{"taken_at": NOW, "proxies": (Proxy(pid=1 << 22, routes=(route,)),), **fields})


def listening(target: Target, queued: int, backlog: int) -> KernelSocket:
    return KernelSocket(target=target, inode=1, is_listening=True, queued=queued, backlog=backlog)


def test_every_kind_of_limit_has_a_sampler():
    assert set(samplers()) == {
        "certificates", "container_queues", "descriptors", "disks", "memory", "network", "php_fpm", "queues", "shared_memory"
    }  # fmt: skip
    assert all(module.EVERY_S >= 1 for module in samplers().values())


def test_the_fullest_socket_of_an_address_counts():
    found = queues([listening(A, 1, 10), listening(A, 9, 10), listening(EVERYWHERE, 10, 10)], [A], NOW)
    assert [(one.subject, one.used, one.limit) for one in found] == [("127.0.0.1:3000", 9.0, 10.0)]
    found = queues([listening(EVERYWHERE, 3, 10), listening(A, 0, 0)], [A, Target(path="/run/a.sock")], NOW)
    assert [(one.subject, one.used) for one in found] == [("127.0.0.1:3000", 3.0)]


def test_a_real_queue():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        clients = [socket.create_connection(server.getsockname(), timeout=5) for _ in range(6)]
        limits, gaps = of("queues", LocalHost(), knows(target))
        for client in clients:
            client.close()
    assert [(one.subject, one.used, one.limit, one.ratio) for one in limits] == [(str(target), 6.0, 8.0, 0.75)]
    assert gaps == []


class Refusing(LocalHost):
    """A machine that shows nothing of other processes and of its file systems."""

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        if path.startswith("/proc/sys") or path in ("/proc/meminfo", "/proc/self/mountinfo"):
            raise Denied("permission denied", "run as root", errno=errno.EACCES)
        return super().read(path, limit_bytes=limit_bytes)

    def list(self, path: str) -> list[str]:
        if path.endswith("/fd"):
            raise Denied("permission denied", errno=errno.EACCES)
        return super().list(path)

    def space(self, path: str) -> Space:
        raise Denied("permission denied", errno=errno.EACCES)

    def sockets(self, *pids: int, connected: bool = False) -> tuple:
        raise HostError("sock_diag: Operation not permitted")


@pytest.mark.parametrize("name", ["descriptors", "memory", "network", "queues", "shared_memory", "php_fpm"])
def test_what_cannot_be_read_is_a_gap_and_never_a_zero(name):
    pool = PhpPool(name="www", target=Target(path="/run/php.sock"), master_pid=1, max_children=5)
    limits, gaps = of(name, Refusing(), knows(A, php_pools=(pool,)))
    assert limits == []
    assert gaps
    assert all(gap.reason for gap in gaps)


def test_a_backend_without_a_memory_limit_has_no_sample_of_its_own():
    process = Process(pid=7, cgroup="/why502-none", unit="app.service")
    known = knows(A, processes=(process,), listeners=(Listener(target=A, pids=(7,)),))
    limits, _ = of("memory", LocalHost(), known)
    assert [one.subject for one in limits] == ["machine"]
    assert 0 < limits[0].used < limits[0].limit


def test_descriptors_of_this_process():
    import os

    known = knows(
        A, processes=(Process(pid=os.getpid(), unit="test.service"),), listeners=(Listener(target=A, pids=(os.getpid(),)),)
    )
    limits, gaps = of("descriptors", LocalHost(), known)
    own = next(one for one in limits if one.subject == "test.service")
    assert gaps == []
    assert 3 <= own.used < own.limit
    assert own.since is not None
    assert own.since < datetime.now(UTC)


class Slow(LocalHost):
    """A machine whose disks do not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = threading.Event()

    def acting_as(self, uid: int) -> Slow:
        return self

    def space(self, path: str) -> Space:
        self.answer.wait(30)
        raise HostError("it was unmounted")


@pytest.fixture
def slow() -> Iterator[Slow]:
    host = Slow()
    yield host
    host.answer.set()


@pytest.mark.thorough
def test_a_kind_that_hangs_hangs_alone_and_is_told(slow, monkeypatch):
    monkeypatch.setattr(running, "LATE_S", 0.2)
    found: list[Limit | Gap] = []
    again = threading.Event()

    def put(one: Limit | Gap) -> None:
        found.append(one)
        if isinstance(one, Limit) and one.kind is LimitKind.LISTEN_QUEUE and one.used == 1:
            again.set()

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        now_s = [0.0]
        progress = Progress(clock=lambda: now_s[0])
        sampler = Sampler(slow, knows(target), put, is_probing=False, beat=progress.beat)
        sampler.start()
        with socket.create_connection(server.getsockname(), timeout=5):
            assert again.wait(20), "the queue is sampled again and again"
        until(lambda: "limits: shared_memory" in {gap.source for gap in sampler.gaps}, "the one that hangs is told")
        now_s[0] += 3600
        assert "limits shared_memory" in progress.late()
        assert progress.curable() == ()
        slow.answer.set()
        sampler.stop()
    assert all(not thread.name.startswith("limits") for thread in threading.enumerate())


def test_a_gap_is_put_when_it_is_new():
    found: list[Limit | Gap] = []
    sampler = Sampler(Refusing(), knows(A), found.append, is_probing=False)
    for _ in range(3):
        sampler._pass("queues", samplers()["queues"])
    assert [one.reason for one in found if isinstance(one, Gap)] == ["sock_diag: Operation not permitted"]
    assert [gap.reason for gap in sampler.gaps] == ["sock_diag: Operation not permitted"]


def test_an_error_of_our_own_is_a_gap():
    class Broken(LocalHost):
        def sockets(self, *pids: int, connected: bool = False) -> tuple:
            raise ZeroDivisionError

    _, gaps = of("queues", Broken(), knows(A))
    assert gaps[0].reason.startswith("internal error: ZeroDivisionError")


def test_no_probe_opens_no_connection():
    names = {thread.name for thread in Sampler(LocalHost(), knows(A), print, is_probing=False)._threads}
    assert "limits certificates" not in names
    assert "limits certificates" in {thread.name for thread in Sampler(LocalHost(), knows(A), print)._threads}


def test_samples_have_forecasts():
    found: list[Limit | Gap] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(4)
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        clients = [socket.create_connection(server.getsockname(), timeout=5) for _ in range(3)]
        sampler = Sampler(LocalHost(), knows(target), found.append)
        for _ in range(4):
            sampler._pass("queues", samplers()["queues"])
        for client in clients:
            client.close()
    assert [one.severity for one in found] == [None, Severity.PAGE], "what says the same is not put again at once"
    assert found[0].kind is LimitKind.LISTEN_QUEUE
    assert found[0].at <= datetime.now(UTC) + timedelta(seconds=1)
