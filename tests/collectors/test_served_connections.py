"""A server with a thread for each connection shows by its threads on which connections it works: real processes."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import msgspec
import pytest
from nginx_real import until
from test_dependencies import WORKERS, look, running, timed_out

from why502.collectors import dependencies, served_connections
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.model.errors import Denied
from why502.model.snapshot import Dependency
from why502.model.target import Target

MACHINE = os.uname().machine
# It greets each client at once, as MySQL does. A query of "lock" is worked on for ever, any other is answered.
DATABASE = """
import ctypes, select, socket, sys, threading
ctypes.CDLL(None).prctl(15, b"mariadbd", 0, 0, 0)
server, never = socket.create_server(("127.0.0.1", 0), backlog=64), threading.Event()
if sys.argv[1:] == ["pool"]:
    threading.Thread(target=select.epoll().poll, daemon=True).start()
def serve(client):
    client.sendall(b"greeting")
    while query := client.recv(100):
        if query == b"lock":
            never.wait()
        client.sendall(b"rows")
def accept():
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""
# It opens a connection for each request, as a pool does that is empty, and polls for the answer.
APP = """
import select, socket, sys, threading
peer, query = int(sys.argv[1]), sys.argv[2].encode()
server, never = socket.create_server(("127.0.0.1", 0), backlog=64), threading.Event()
def work():
    while True:
        client, _ = server.accept()
        client.recv(65536)
        needed = socket.create_connection(("127.0.0.1", peer))
        needed.recv(100)
        needed.sendall(query)
        select.select([needed], [], [])
        needed.recv(100)
        never.wait()
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.real
def test_only_the_connections_that_nobody_reads_are_worked_on() -> None:
    with running(DATABASE) as (server, port), ExitStack() as stack:
        for query in (b"lock", b"lock", b"select", b""):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.recv(100)
            client.sendall(query)
        until(lambda: served_connections.idle_threads(LocalHost(), server.pid, MACHINE) == 2, "the queries have arrived")


@pytest.mark.real
def test_a_pool_of_threads_shows_nothing() -> None:
    with running(DATABASE, "pool") as (server, port), socket.create_connection(("127.0.0.1", port)):
        until(lambda: served_connections.idle_threads(LocalHost(), server.pid, MACHINE) is None, "it waits in its pool")


@pytest.mark.real
@pytest.mark.parametrize(("query", "waiting"), [("lock", WORKERS), ("select", 0)])
def test_requests_wait_for_a_database_that_works_on_their_queries(query: str, waiting: int) -> None:
    """With `select`, the same connections are as silent: the application waits for something else."""
    with running(DATABASE) as (_, peer), running(APP, str(peer), query) as (_, port), ExitStack() as stack:
        target = Target(host="127.0.0.1", port=port)
        for _ in range(WORKERS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        found: list[Dependency] = []

        def are_silent() -> bool:
            known = msgspec.structs.replace(look(target), logs=timed_out(target))
            told = dependencies.collect(LocalHost(), known, CollectOptions()).value or ()
            found[:] = [one for one in told if one.target == target and one.peer.port == peer]
            exchanges = dependencies._exchanges(LocalHost(), {one.peer for one in found}, [target])
            silent = [one for one in exchanges if one.remote.port == peer and min(one.sent_ms or 0, one.received_ms or 0) >= 1500]
            return len(silent) == WORKERS

        until(are_silent, "all connections have been silent for longer than counts")
        known = msgspec.structs.replace(look(target), logs=timed_out(target))
        told = dependencies.collect(LocalHost(), known, CollectOptions()).value or ()
        assert [one.waiting for one in told if one.target == target and one.peer.port == peer] == [waiting]


class Forbidden(LocalHost):
    """A machine whose threads of others may not be looked at."""

    def read(self, path: str, *, limit_bytes: int | None = None) -> bytes:
        """Raise Denied for a system call."""
        if path.endswith("/syscall"):
            raise Denied("permission denied", errno=13)
        return super().read(path) if limit_bytes is None else super().read(path, limit_bytes=limit_bytes)


def test_what_may_not_be_looked_at_is_a_gap() -> None:
    one = Dependency(target=Target(port=1), peer=Target(port=2), process="mariadbd", pid=os.getpid())
    with pytest.raises(Denied) as caught:
        dependencies._worked_on(Forbidden(), one, 3, {}, MACHINE)
    gap = served_connections.denied(one, caught.value)
    assert "mariadbd" in gap.reason and "root" in gap.hint and "PROCESSLIST" in gap.hint
