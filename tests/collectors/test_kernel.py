"""Kernel counters and socket tables: recorded text, and a real accept queue that overflows in its own network namespace."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from own_network import own_network

from why502.collectors import backend, kernel
from why502.collectors.base import CollectOptions
from why502.collectors.owners import owners
from why502.host.base import KernelSocket, SocketTable
from why502.host.local import LocalHost
from why502.machine import sockets
from why502.model.config import Peer, Route
from why502.model.errors import Denied, HostError, Missing
from why502.model.proxy import Proxy
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

NETSTAT = b"""\
TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows ListenDrops TCPReqQFullDrop
TcpExt: 0 0 10 12 0
IpExt: InNoRoutes InOctets
IpExt: 0 75772787
"""
# Linux 6.18; a listener with backlog 2 on a tcp6 socket, 3 waiting, 1 served and now in FIN_WAIT2, 1 client in SYN_SENT
TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   4: 0100007F:B508 0100007F:9864 01 00000000:00000000 00:00000000 00000000     0        0 21795 1 0000000030a547d0 20 4 31 11 -1
   5: 0100007F:B50A 0100007F:9864 02 00000001:00000000 01:00000064 00000000     0        0 21797 1 00000000a72b2222 20 0 0 11 -1
   6: 0100007F:B518 0100007F:9864 06 00000000:00000000 03:00000FF1 00000000     0        0 0 3 0000000088ce1b77
"""
TCP6 = b"""\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:9864 00000000000000000000000000000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 21768 4 000000002b13f52d 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:9864 0000000000000000FFFF00000100007F:B4F8 05 00000000:00000000 00:00000000 00000000    33        0 21796 1 000000008b797c57 20 4 30 12 -1
   3: 0000000000000000FFFF00000100007F:9864 0000000000000000FFFF00000100007F:B518 01 00000000:0000006E 00:00000000 00000000     0        0 0 1 0000000059772cdf 20 4 30 10 -1
   5: 0000000000000000FFFF00000100007F:9864 0000000000000000FFFF00000100007F:B508 01 00000000:0000006E 00:00000000 00000000     0        0 0 1 00000000e11ad694 20 4 30 10 -1
   9: 00000000000000000000000001000000:9864 00000000000000000000000001000000:B508 08 00000000:0000006E 00:00000000 00000000     0        0 0 1 00000000e11ad694 20 4 30 10 -1
"""
CONNTRACK = b"""\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
0000001f  00000000 00000000 00000000 00000002 00000000 00000000 00000000 00000000 00000000 0000000a 00000000 00000000
0000001f  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000
"""
V4 = Target(host="127.0.0.1", port=0x9864)


def test_counters():
    assert kernel.parse_netstat(NETSTAT)["TcpExt.ListenDrops"] == 12
    assert kernel.parse_netstat(b"TcpExt: A\n") == {}
    assert kernel.parse_file_nr(b"592\t12\t2466183\n") == (580, 2466183)
    assert kernel.parse_file_nr(b"") is None
    assert kernel.parse_conntrack(CONNTRACK) == 31
    assert kernel.parse_conntrack(b"entries\nzz\n") is None


def test_connections_to_a_target():
    rows = [*sockets.parse_tcp(TCP), *sockets.parse_tcp(TCP6)]
    connections, ports = kernel.towards([V4], rows, [])
    assert connections == {(V4, "ESTABLISHED"): 1, (V4, "SYN_SENT"): 1, (V4, "TIME_WAIT"): 1}
    assert ports == {V4: 3}


class Answering(LocalHost):
    """A host whose kernel reports these unix sockets."""

    def __init__(self, *found: KernelSocket) -> None:
        super().__init__()
        self._found = found

    def sockets(self, *pids: int, connected: bool = False) -> tuple[SocketTable, ...]:
        assert connected
        assert not pids
        return (SocketTable(sockets=self._found),)


def test_held_and_waiting_connections():
    rows = [*sockets.parse_tcp(TCP), *sockets.parse_tcp(TCP6)]
    assert sockets.use(V4, rows, []) == sockets.Use(1, 2, 0)
    assert sockets.use(Target(host="::", port=0x9864), rows, []) == sockets.Use(1, 3, 1)
    assert sockets.use(Target(host="::1", port=0x9864), rows, []) == sockets.Use(0, 1, 1)
    path = Target(path="/run/app one.sock")
    host = Answering(KernelSocket(path, 1, True, queued=1), KernelSocket(path, 2, False, peer_inode=3),
    KernelSocket(Target(), 3, False, peer_inode=2))  # fmt: skip
    assert sockets.use(path, rows, sockets.read_unix(host)) == sockets.Use(1, 1, None)
    assert sockets.read_unix_peers(host) == {3: "/run/app one.sock"}


def test_addresses_there_and_back():
    for text in ("127.0.0.1:80", "[2001:db8::1]:443", "[::]:9000"):
        target = Target.parse(text)
        assert all(sockets.place(form) == target for form in sockets.names(target))
    assert sockets.names(Target(host="app", port=80)) == ()
    assert sockets.place(b"zz:00") is None


def test_damaged_tables():
    assert list(sockets.parse_tcp(b"x\n 1: a\n 2: 0100007F:B508 0100007F:9864 01")) == []


STAT = b"77 (php fpm) x) S 1 1 1 0 -1 4194560 1 2 3 4 150 25 7 8 20 0 1 0 99 1 1"


def test_activity_of_a_backend():
    assert backend.parse_ticks(STAT) == 1.75
    assert backend.parse_ticks(b"77 (x") is None
    other = Target(path="/run/b.sock")
    before = {(V4, 1): backend.Ticks(used_s=1.0, at_s=5.0), (V4, 2): backend.Ticks(used_s=1.0, at_s=5.0)}
    after = {(V4, 1): backend.Ticks(used_s=1.2, at_s=5.1), (other, 3): backend.Ticks(used_s=9.0, at_s=5.1)}
    assert backend.processors(before, after) == {V4: 2.0}
    assert backend.kept_waiting(before, after) == {}


def test_time_in_which_a_backend_waits_for_a_processor():
    before = {(V4, 1): backend.Ticks(used_s=1.0, at_s=5.0, waited_s=3.0), (V4, 2): backend.Ticks(used_s=0.0, at_s=5.0)}
    after = {(V4, 1): backend.Ticks(used_s=1.1, at_s=5.5, waited_s=3.4), (V4, 2): backend.Ticks(used_s=0.0, at_s=5.5)}
    assert backend.kept_waiting(before, after) == {V4: 0.8}


def test_listeners_count_where_the_proxy_is():
    """The same loopback address exists in every network namespace; a unix socket is reached by its path."""
    target, path = Target(host="127.0.0.1", port=80), Target(path="/run/s")
    peers = tuple(Peer(name=str(x), target=x) for x in (target, path))
    snapshot = Snapshot(
        taken_at=datetime.now(UTC),
        proxies=(Proxy(pid=1, network="7", routes=(Route(peers=peers),)),),
        listeners=(
            Listener(target=target, pids=(1,)),
            Listener(target=target, pids=(3, 2), network="7"),
            Listener(target=path, pids=(4,), network="8"),
        ),
    )
    assert owners(snapshot) == {target: (2, 3), path: (4,)}


def known(target: Target, *listeners: Listener, **more) -> Snapshot:
    proxy = Proxy(pid=os.getpid(), routes=(Route(peers=(Peer(name=str(target), target=target),)),), **more)
    return Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,), listeners=listeners)


class Refusing(LocalHost):
    """A host on which nothing may be looked at."""

    def read(self, path, *, limit_bytes=0):
        raise Denied("permission denied")

    def list(self, path):
        raise Missing("gone")


def test_no_access_to_anything():
    found = kernel.collect(Refusing(), known(V4), CollectOptions())
    assert found.value is not None
    assert found.value.listen_overflows is None
    assert found.value.files_open is None
    assert {gap.source for gap in found.gaps} == {"/proc/net/tcp", "/proc/net/netstat"}


@pytest.mark.real
def test_real_connections_of_this_process():
    """Three clients, one served, one abandoned while it waited; the backend's own connection to a "database" does not count."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for address in [server.getsockname()] * 2 + [tcp.getsockname()]:
            stack.enter_context(socket.create_connection(address))
        stack.enter_context(server.accept()[0])
        socket.create_connection(server.getsockname()).close()
        target = Target(host="127.0.0.1", port=server.getsockname()[1])
        listener = Listener(target=target, pids=(os.getpid(),))
        value = kernel.collect(LocalHost(), known(target, listener), CollectOptions()).value
    name = str(target)
    assert value.connections[f"{name} ESTABLISHED"] == 2
    assert sum(value.connections.values()) == 3
    assert value.ports_used == {name: 3}
    assert (value.accepted, value.unaccepted, value.abandoned) == ({name: 1}, {name: 2}, {name: 1})
    assert value.backend_cpu[name] >= 0
    assert value.files_open > 0
    assert value.ports_first < value.ports_last


OVERFLOW = """
import socket, sys, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(2)
clients = []
for _ in range(8):
    client = socket.socket(); client.setblocking(False); client.connect_ex(server.getsockname()); clients.append(client)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.real
def test_a_real_accept_queue_overflows_in_another_network_namespace():
    with own_network(OVERFLOW) as (pid, port):
        target = Target(host="127.0.0.1", port=port)
        proxy = Proxy(pid=pid, network="1", routes=(Route(peers=(Peer(name=str(target), target=target),)),))
        listener = Listener(target=target, pids=(pid,), network="1")
        snapshot = Snapshot(taken_at=datetime.now(UTC), proxies=(proxy,), listeners=(listener,))
        value = kernel.collect(LocalHost(), snapshot, CollectOptions()).value
    assert value.listen_overflows >= 5
    assert (value.accepted, value.unaccepted) == ({str(target): 0}, {str(target): 3})
    assert value.connections[f"{target} SYN_SENT"] == 5
    assert value.connections[f"{target} ESTABLISHED"] == 3


class Labelled:
    """A machine with these contents of security files; a number is the errno of reading one."""

    def __init__(self, **files: bytes | int) -> None:
        self.files = files

    def read(self, path: str, *, limit_bytes: int = 0) -> bytes:
        found = self.files.get(path.rpartition("/")[2], errno.ENOENT)
        if isinstance(found, int):
            raise HostError(os.strerror(found), errno=found)
        return found


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        ({"lsm": b"lockdown,capability,selinux"}, ("lockdown", "capability", "selinux")),
        ({"current": errno.EINVAL}, ()),
        ({"current": b"system_u:system_r:httpd_t:s0\0"}, ("selinux",)),
        ({"current": b"docker-default (enforce)\n"}, ("apparmor",)),
        ({"current": errno.EACCES}, None),
        ({}, None),
    ],
)
def test_security_modules(files: dict[str, bytes | int], modules: tuple[str, ...] | None) -> None:
    assert kernel.security_modules(Labelled(**files)) == modules  # type: ignore[arg-type]
