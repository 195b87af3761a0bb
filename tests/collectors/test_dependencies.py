"""What workers wait for, seen from outside: real processes that wait for a peer that is silent, slow, stopped or gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from nginx_real import until

from why502.collectors import dependencies, dependency_units, kernel, listeners, processes
from why502.collectors.base import CollectOptions
from why502.diagnosis.engine import diagnose
from why502.host.base import Finished
from why502.host.local import LocalHost
from why502.machine import sockets
from why502.model.config import Peer, Route
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Dependency, Event, Listener, Snapshot
from why502.model.target import Target

WORKERS = 3
# A master with workers: each takes one request, queries its peer and returns the answer.
APP = f"""
import os, socket, sys
peer = int(sys.argv[1])
server = socket.create_server(("127.0.0.1", 0), backlog=64)
for _ in range({WORKERS}):
    if os.fork() == 0:
        while True:
            client, _ = server.accept()
            client.recv(65536)
            needed = socket.create_connection(("127.0.0.1", peer))
            needed.sendall(b"ask")
            client.sendall(needed.recv(100))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
os.killpg(0, 9)
"""
NEVER_ANSWERS = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0), backlog=64)
print(server.getsockname()[1], flush=True)
held = []
while True:
    held.append(server.accept())
"""
FULL = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0), backlog=0)
port = server.getsockname()[1]
others = [socket.socket() for _ in range(4)]
for other in others:
    other.setblocking(False)
    other.connect_ex(("127.0.0.1", port))
print(port, flush=True)
sys.stdin.read()
"""


@contextmanager
def running(code: str, *argv: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield a program and the port that it prints."""
    program = subprocess.Popen(
        [sys.executable, "-c", code, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert program.stdout is not None
        yield program, int(program.stdout.readline())
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


def look(target: Target) -> Snapshot:
    """Return the snapshot of a machine with a route to the target, including dependencies."""
    host, ask = LocalHost(), CollectOptions()
    known = Snapshot(
        taken_at=datetime.now(UTC),
        proxies=(Proxy(pid=os.getpid(), routes=(Route(passes="x", peers=(Peer(name=str(target), target=target),)),)),),
        addresses=(),
    )
    for source in (listeners, processes, kernel, dependencies):
        found = source.collect(host, known, ask)
        known = msgspec.structs.replace(known, **{source.SECTION: found.value})
    return known


def waits(
    code: str, holds: Callable[[Dependency], bool], *, stops: bool = False, leaves: bool = False
) -> tuple[Snapshot, Target, Target]:
    """Return the waits found once every worker waits for a peer that runs this code."""
    with ExitStack() as stack:
        peer, number = stack.enter_context(running(code))
        _, port = stack.enter_context(running(APP, str(number)))
        target, place = Target(host="127.0.0.1", port=port), Target(host="127.0.0.1", port=number)
        if stops:
            os.kill(peer.pid, signal.SIGSTOP)
        for _ in range(WORKERS):
            client = stack.enter_context(socket.create_connection((target.host, target.port)))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if leaves:  # like a proxy that gave up waiting
                client.shutdown(socket.SHUT_WR)
        seen: list[Snapshot] = []

        def all_wait() -> bool:
            seen[:] = [look(target)]
            return any(one.peer == place and holds(one) for one in seen[0].dependencies or ())

        until(all_wait, "every worker waits", 30)
        return seen[0], target, place


def timed_out(target: Target, *, succeeded: int = 20) -> LogSummary:
    now = datetime.now(UTC)
    tally = Tally(symptom=Symptom.READ_TIMED_OUT, target=target, status=504, count=6, first=now - timedelta(seconds=20), last=now)
    traffic = TargetTraffic(target=target, attempts=6 + succeeded, failures=6, last_success=now - timedelta(seconds=25))
    return LogSummary(tallies=(tally,), targets=(traffic,), has_access=True, by_status={"200": succeeded, "504": 6})


def first(known: Snapshot) -> tuple[str, str]:
    finding = diagnose(known).findings[0]
    return finding.cause, finding.message


@pytest.mark.real
@pytest.mark.parametrize("leaves", [False, True])
def test_workers_that_wait_for_an_answer(leaves: bool) -> None:
    known, target, place = waits(NEVER_ANSWERS, lambda one: one.waiting == one.busy == WORKERS, leaves=leaves)
    (found,) = [one for one in known.dependencies or () if one.peer == place]
    assert (found.busy, found.waiting, found.connecting, found.is_heard, found.is_stopped) == (WORKERS, WORKERS, 0, True, False)
    cause, message = first(msgspec.structs.replace(known, logs=timed_out(target)))
    assert cause == "backend-dependency-slow"
    assert str(place) in message


@pytest.mark.real
def test_workers_that_wait_to_be_connected() -> None:
    known, target, place = waits(FULL, lambda one: one.connecting == WORKERS)
    cause, message = first(msgspec.structs.replace(known, logs=timed_out(target)))
    assert cause == "backend-dependency-down"
    assert f"{place}" in message and "does not answer connection attempts" in message


@pytest.mark.real
def test_a_peer_whose_process_is_stopped() -> None:
    known, target, place = waits(NEVER_ANSWERS, lambda one: one.waiting == WORKERS and one.is_stopped, stops=True)
    cause, message = first(msgspec.structs.replace(known, logs=timed_out(target)))
    assert cause == "backend-dependency-down"
    assert str(place) in message and "is stopped" in message


@pytest.mark.real
def test_idle_workers_with_open_connections_do_not_wait() -> None:
    """Idle connections of a pool do not count: no worker handles a request."""
    app = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", 0), backlog=64)
needed = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
while True:
    server.accept()[0].close()
"""
    with running(NEVER_ANSWERS) as (_, number), running(app, str(number)) as (_, port):
        target = Target(host="127.0.0.1", port=port)
        known = look(target)
        (found,) = [one for one in known.dependencies or () if one.peer.port == number]
        assert (found.busy, found.waiting, found.connecting) == (0, 0, 0)
        causes = {
            x.cause for x in diagnose(msgspec.structs.replace(known, logs=timed_out(target))).findings if x.confidence >= 0.5
        }
        assert not causes & {"backend-dependency-slow", "backend-dependency-down"}


THREADED = """
import select, socket, sys, threading, time
server = socket.create_server(("127.0.0.1", 0), backlog=64)
needed = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def work():
    client, _ = server.accept()
    time.sleep(600)
threading.Thread(target=work).start()
print(server.getsockname()[1], flush=True)
select.select([sys.stdin], [], [])
"""
PAIRED = """
import select, socket, sys
server = socket.create_server(("127.0.0.1", 0), backlog=64)
needed = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
inner = socket.create_server(("127.0.0.1", 0))
waker = socket.create_connection(inner.getsockname())
woken, _ = inner.accept()
inner.close()
print(server.getsockname()[1], flush=True)
client, _ = server.accept()
select.select([needed, woken], [], [])
"""


def asked(code: str) -> Dependency:
    """Return the dependencies of an application that runs this code and handles one request."""
    with (
        running(NEVER_ANSWERS) as (_, number),
        running(code, str(number)) as (_, port),
        socket.create_connection(("127.0.0.1", port)),
    ):
        found: list[Dependency] = []

        def is_busy() -> bool:
            found[:] = look(Target(host="127.0.0.1", port=port)).dependencies or ()
            return any(one.busy for one in found)

        until(is_busy, "it holds the request", 30)
        assert [one.peer.port for one in found] == [number]
        return found[0]


@pytest.mark.real
def test_a_thread_that_polls_beside_a_busy_one_does_not_wait() -> None:
    """A server's own threads wait for clients and timers, while its workers are busy elsewhere."""
    found = asked(THREADED)
    assert (found.busy, found.waiting) == (1, 0)


@pytest.mark.real
def test_a_socket_pair_within_a_process_is_not_a_dependency() -> None:
    found = asked(PAIRED)
    assert (found.busy, found.waiting) == (1, 1)


def refusing(text: str, *, at: timedelta = timedelta(), is_heard: bool | None = False) -> Snapshot:
    """Return a snapshot of an application that answers 503 and logs the reason."""
    now, target = datetime(2026, 11, 21, 1, tzinfo=UTC), Target(host="127.0.0.1", port=8000)
    event = Event(
        at=now + at, symptom=Symptom.APPLICATION_ERROR, message=text, detail=text, source="journalctl", target=target, count=9
    )
    tally = Tally(symptom=Symptom.UPSTREAM_STATUS, target=target, status=503, count=9, first=now, last=now)
    peer = Dependency(target=target, peer=Target(host="127.0.0.1", port=5432), is_heard=is_heard)
    return Snapshot(
        taken_at=now,
        proxies=(Proxy(pid=1, routes=(Route(passes="x", peers=(Peer(name="x", target=target),)),)),),
        addresses=(),
        events=(event,),
        dependencies=(msgspec.structs.replace(peer, unit="postgresql@15-main.service", unit_state="inactive"),),
        logs=LogSummary(tallies=(tally,), has_access=True),
    )


REFUSED = 'psycopg2.OperationalError: connection to server at "127.0.0.1", port 5432 failed: Connection refused'


def test_a_peer_that_refuses_is_named_with_its_unit() -> None:
    cause, message = first(refusing(REFUSED))
    assert cause == "backend-dependency-down"
    assert "PostgreSQL (127.0.0.1:5432)" in message and "postgresql@15-main.service is inactive" in message


def test_messages_of_another_time_do_not_count() -> None:
    assert first(refusing(REFUSED, at=-timedelta(hours=1)))[0] == "upstream-error-status"


def test_other_messages_name_no_dependency() -> None:
    assert first(refusing("TypeError: unsupported operand"))[0] in ("upstream-error-status", "application-error")


def gone(**more: object) -> Snapshot:
    """Return the snapshot of an application that answers 503 without a message, and whose variable names an address without
    listener.
    """
    known = refusing("")
    (peer,) = known.dependencies or ()
    return msgspec.structs.replace(
        known, events=(), dependencies=(msgspec.structs.replace(peer, named_by="DATABASE_URL", **more),)
    )


def test_a_database_that_ended_as_the_failures_began_is_named_without_any_message() -> None:
    cause, message = first(gone(unit_since=datetime(2026, 11, 21, 0, 59, 58, tzinfo=UTC)))
    assert cause == "backend-dependency-down"
    assert "PostgreSQL (127.0.0.1:5432), where nothing listens" in message


def test_an_unused_setting_does_not_count() -> None:
    assert first(gone(unit="", unit_state=""))[0] == "upstream-error-status"


@pytest.mark.real
def test_variables_of_a_running_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening
        number = closed.getsockname()[1]
        monkeypatch.setenv("REDIS_URL", f"redis://:secret@127.0.0.1:{number}/0")
        with running(NEVER_ANSWERS) as (_, port):
            known = look(Target(host="127.0.0.1", port=port))
    (found,) = [one for one in known.dependencies or () if one.peer.port == number]
    assert (found.named_by, found.is_heard) == ("REDIS_URL", False)
    assert "secret" not in str(known.dependencies)


def ended(**more: object) -> Snapshot:
    """Return the snapshot of an application that answers 503 without a message, beside a stopped database."""
    known = refusing("")
    peer = Dependency(target=Target(host="127.0.0.1", port=8000), peer=Target(host="127.0.0.1", port=6379), is_heard=False)
    return msgspec.structs.replace(known, events=(), dependencies=(msgspec.structs.replace(peer, **more),))


JUST, LONG_AGO = datetime(2026, 11, 21, 0, 59, 58, tzinfo=UTC), datetime(2026, 11, 21, 0, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"unit": "redis-server.service", "unit_state": "inactive", "unit_since": JUST}, True),
        ({"unit": "redis.service", "elsewhere": Target(host="10.0.0.5", port=6379), "unit_since": JUST}, True),
        ({"unit": "redis-server.service", "unit_state": "inactive", "unit_since": LONG_AGO}, False),
        ({"unit": "redis-server.service", "unit_state": "inactive"}, False),
    ],
)
def test_a_service_that_ended_as_the_failures_began_is_named(more: dict[str, object], expected: bool) -> None:
    cause, message = first(ended(**more))
    assert (cause == "backend-dependency-down") is expected
    assert ("seems to need Redis (127.0.0.1:6379)" in message) is expected


class Journal(LocalHost):
    """A host whose journal reports stopped units, newest first as requested."""

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        assert "--reverse" in argv
        told = [("39f53479d3a045ac8e11786248231fbf", "app.service"), ("9d1aaa27d60140bd96365438aad20286", "redis-server.service")]
        told += [
            ("39f53479d3a045ac8e11786248231fbf", "redis-server.service"),
            ("9d1aaa27d60140bd96365438aad20286", "app.service"),
        ]
        lines = [
            f'{{"MESSAGE_ID": "{message}", "UNIT": "{unit}", "__REALTIME_TIMESTAMP": "{1795350375000000 - number}"}}'
            for number, (message, unit) in enumerate(told)
        ]
        return Finished(status=0, stdout="\n".join([*lines, "{", "[]", '{"UNIT": 1}']), stderr="")


def test_units_that_ended_and_were_not_restarted() -> None:
    assert list(dependency_units.stops(Journal(), JUST)) == ["redis-server.service"]


def unacknowledged(symptom: Symptom, count: int) -> Snapshot:
    """Return the snapshot of an application whose pool has that many connections that nobody answers,
    not even with an acknowledgement.
    """
    known = refusing("", is_heard=True)
    assert known.logs is not None
    late = [msgspec.structs.replace(tally, symptom=symptom) for tally in known.logs.tallies]
    peer = Dependency(
        target=Target(host="127.0.0.1", port=8000), peer=Target(host="10.0.0.9", port=3306), unacknowledged=count, busy=8
    )
    logs = msgspec.structs.replace(known.logs, tallies=tuple(late))
    return msgspec.structs.replace(known, events=(), dependencies=(peer,), logs=logs)


def test_a_pool_whose_connections_are_not_acknowledged_is_cut_off() -> None:
    cause, message = first(unacknowledged(Symptom.READ_TIMED_OUT, 3))
    assert cause == "backend-dependency-down" and "MySQL (10.0.0.9:3306), which does not acknowledge" in message


@pytest.mark.parametrize(("symptom", "count"), [(Symptom.READ_TIMED_OUT, 0), (Symptom.CONNECT_REFUSED, 3)])
def test_a_lost_packet_does_not_count_if_no_thread_waits(symptom: Symptom, count: int) -> None:
    assert first(unacknowledged(symptom, count))[0] != "backend-dependency-down"


@pytest.mark.parametrize(
    ("row", "retries"),
    [
        ((b"  16: 0100007F:AEF4 0A000009:0CEA 01 0000002A:00000000 01:000001EC 0000000B    33        0 8163018 3 0 20 4 "
                b"20 15 -1"), 11),
        ((b"  16: 0100007F:AEF4 0100007F:0CEA 01 0000002A:00000000 04:000001EC 00000000    33        6 8163018 3 0 20 4 "
                b"20 15 -1"), 6),
        ((b"  16: 0100007F:AEF4 0100007F:0CEA 01 00000000:00000000 02:000AF36F 00000000    33        0 8163018 3 0 20 4 "
                b"20 15 -1"), 0),
        ((b"  16: 0100007F:AEF4 0100007F:0CEA 01 00000000:00000000 00:00000000 00000003    33        3 8163018 3 0 20 4 "
                b"20 15 -1"), 0),
    ],
)  # fmt: skip
def test_retransmissions_of_a_connection(row: bytes, retries: int) -> None:
    (found,) = sockets.parse_tcp(b"  sl\n" + row + b"\n")
    assert found.retries == retries


def logged_by_scripts(text: str) -> Snapshot:
    """Return the snapshot of a PHP pool whose only message is its scripts' standard error in the gateway's log."""
    known = refusing("")
    assert known.logs is not None
    tally = Tally(
        symptom=Symptom.APPLICATION_ERROR, target=Target(host="127.0.0.1", port=8000), detail=text, count=6, last=known.taken_at
    )
    peer = Dependency(
        target=Target(host="127.0.0.1", port=8000),
        peer=Target(host="127.0.0.1", port=3306),
        is_heard=False,
        unit="mariadb.service",
        unit_state="inactive",
    )
    logs = msgspec.structs.replace(known.logs, tallies=(tally,))
    return msgspec.structs.replace(known, events=(), dependencies=(peer,), logs=logs)


def test_messages_of_scripts_in_the_gateways_log_name_the_dependency_and_its_unit() -> None:
    cause, message = first(logged_by_scripts("PHP Fatal error:  Uncaught mysqli_sql_exception: No such file or directory"))
    assert cause == "backend-dependency-down"
    assert "needs MySQL, which is not there, and systemd reports that mariadb.service is inactive" in message


def test_other_errors_of_a_script_name_no_dependency() -> None:
    assert first(logged_by_scripts("PHP Fatal error:  Uncaught TypeError: total() expects int"))[0] == "application-error"


def test_a_wildcard_listener_here_is_not_the_peer_on_another_host() -> None:
    """A gateway listens on every address of this machine, but not on port 80 of other hosts."""
    target, away, own = (
        Target(host="127.0.0.1", port=8000),
        Target(host="203.0.113.99", port=80),
        Target(host="127.0.0.1", port=80),
    )
    known = Snapshot(
        taken_at=datetime(2026, 11, 21, 1, tzinfo=UTC),
        addresses=("192.0.2.1",),
        listeners=(Listener(target=Target(host="0.0.0.0", port=80), pids=(7,)), Listener(target=target, pids=(9,))),
        processes=(Process(pid=7, name="nginx", unit="nginx.service"), Process(pid=9, name="app")),
    )
    found = {one.peer: one for one in dependencies._of_target(known, target, [], {away: "API_URL", own: "SELF_URL"}, {})}
    assert (found[away].process, found[away].unit, found[away].is_heard) == ("", "", None)
    assert (found[own].process, found[own].is_heard) == ("nginx", True)


SHOWN = """0      0              127.0.0.1:40002            127.0.0.1:4567
     cubic wscale:7,7 rto:204 bytes_sent:80 segs_out:3 lastsnd:8124 lastrcv:8124 lastack:8124 minrtt:0.01
0      0     [::ffff:10.0.0.5]:40004  [::ffff:10.0.0.9]:443
     cubic wscale:7,7 rto:204 bytes_sent:9 bytes_received:9 lastsnd:20 lastrcv:10 lastack:10
0      0                 [::1]:40006                [::1]:6379
     cubic rto:204 lastsnd:x lastrcv:10
0      0             127.0.0.1:3000             127.0.0.1:40010
     cubic rto:204 bytes_received:90 lastsnd:5004 lastrcv:5000
garbage
     lastsnd:1 lastrcv:2
"""


def test_when_data_was_sent_last_and_received() -> None:
    seen = [(str(one.local), str(one.remote), one.sent_ms, one.received_ms) for one in dependencies.parse_exchanges(SHOWN)]
    assert seen == [
        ("127.0.0.1:40002", "127.0.0.1:4567", 8124, None),
        ("10.0.0.5:40004", "10.0.0.9:443", 20, 10),
        ("127.0.0.1:3000", "127.0.0.1:40010", None, 5000),
    ]


@pytest.mark.parametrize(
    ("sent_ms", "received_ms", "waiting", "busy"),
    [
        (300, 60_000, 3, 3),  # asked again a moment ago; its last answer is older than each request
        (300, None, 3, 3),  # it never answered
        (300, 7000, 2, 3),  # a heartbeat came after the first request
        (9000, 60_000, 0, 8),  # a blocking read that began before any of the requests
        (300, 200, 0, 8),  # it answers
    ],
)
def test_requests_that_share_one_connection_to_a_silent_peer(
    sent_ms: int, received_ms: int | None, waiting: int, busy: int
) -> None:
    """An event loop sends the queries of all requests on one connection, and shows no thread for each."""
    target, peer = Target(host="127.0.0.1", port=3000), Target(host="127.0.0.1", port=6379)

    def client(port: int, sent_ms: int | None, received_ms: int | None) -> dependencies.Exchange:
        remote = Target(host="127.0.0.1", port=port)
        return dependencies.Exchange(local=target, remote=remote, sent_ms=sent_ms, received_ms=received_ms)

    requests = [client(50001, None, 8000), client(50002, 20_000, 5000), client(50003, None, 2000)]
    others = [
        client(50004, 100, 100),  # between two requests
        client(50005, None, 10),  # a moment old
        client(50006, 900_000, 800_000),  # an idle tunnel
    ]
    query = dependencies.Exchange(
        local=Target(host="127.0.0.1", port=41000), remote=peer, sent_ms=sent_ms, received_ms=received_ms
    )
    found = dependencies._unanswered(Dependency(target=target, peer=peer, busy=8), [*requests, *others, query])
    assert (found.waiting, found.busy) == (waiting, busy)


# Polling threads, like those of Ruby and Go, each with its own request; beside them a pool of idle connections.
POLLS = """
import select, socket, sys, threading
peer, idle = int(sys.argv[1]), socket.create_server(("127.0.0.1", 0), backlog=64)
kept = [socket.create_connection(idle.getsockname()) for _ in range(6)]
server = socket.create_server(("127.0.0.1", 0), backlog=64)
def work():
    while True:
        client, _ = server.accept()
        client.recv(65536)
        needed = socket.create_connection(("127.0.0.1", peer))
        needed.sendall(b"ask")
        select.select([needed], [], [])
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.real
def test_polling_threads_wait_for_the_peer_that_owes_an_answer() -> None:
    with running(NEVER_ANSWERS) as (_, peer), running(POLLS, str(peer)) as (_, port), ExitStack() as stack:
        target = Target(host="127.0.0.1", port=port)
        for _ in range(WORKERS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        found: list[Dependency] = []

        def all_wait() -> bool:
            known = msgspec.structs.replace(look(target), logs=timed_out(target))
            told = dependencies.collect(LocalHost(), known, CollectOptions()).value or ()
            found[:] = [one for one in told if one.target == target and one.peer.port == peer]
            return [one.waiting for one in found] == [WORKERS]

        until(all_wait, "every thread waits for its peer", 30)
        assert found[0].busy == WORKERS
