"""One check of servers that behave badly (W42), and of real ones; the codes of HAProxy."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import tracemalloc

import msgspec
import pytest
from members_of import plan_of
from own_network import own_network
from sampled import sampled

from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.logs import Symptom
from why502.model.network import Network
from why502.model.snapshot import Listener
from why502.model.target import Target
from why502.probing.request import Request, Tls
from why502.watch.checks.checker import asked
from why502.watch.checks.members import MemberKey, Planned
from why502.watch.checks.results import CODES, NOT_RUNNING, check
from why502.watch.checks.settings import TargetCheck
from why502.watch.model import CheckResult, Phase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


def ask(target: Target, expected: TargetCheck | None = None, **fields: object) -> CheckResult:
    request = Request(**{"target": target, "connect_s": 0.5, "answer_s": 0.5, "host": "x", **fields})
    key = MemberKey("nginx", "app", target)
    return check(LocalHost(), Planned(key=key, name="a", request=request, expected=expected))


def never_answers(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def one_byte_at_a_time(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" * 1000:
        connection.sendall(bytes((byte,)))
        time.sleep(0.05)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(bytes(1 << 16))


def to_itself(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")


def tls_bomb(connection: socket.socket) -> None:
    """Send handshake records of an endless message."""
    with contextlib.suppress(OSError):
        connection.sendall(b"\x16\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(0x4000 - 4))
        while True:
            connection.sendall(b"\x16\x03\x03\x40\x00" + bytes(0x4000))


@pytest.mark.parametrize(
    ("behaves", "symptom", "code", "fields"),
    sampled(
        [
            (never_answers, Symptom.READ_TIMED_OUT, "L7TOUT", {}),
            (one_byte_at_a_time, Symptom.READ_TIMED_OUT, "L7TOUT", {}),
            (endless, None, "L7OK", {}),
            (to_itself, None, "L7OK", {}),
            (tls_bomb, Symptom.TLS_FAILED, "L6RSP", {"protocol": "https", "tls": Tls()}),
            (never_answers, Symptom.TLS_TIMED_OUT, "L6TOUT", {"protocol": "https", "tls": Tls()}),
        ],
        3,
    ),
)
def test_a_hostile_server_costs_no_more_than_the_limit(serve, behaves, symptom, code, fields):
    calls: list[None] = []

    def counted(connection: socket.socket) -> None:
        calls.append(None)
        behaves(connection)

    target = serve(counted)
    began = time.monotonic()
    tracemalloc.start()
    found = ask(target, **fields)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.symptom, found.haproxy_code) == (symptom, code), found
    assert time.monotonic() - began < 2.5
    assert peak_bytes < 4 << 20
    assert len(calls) == 1, "one connection, no second look"


def test_a_result_has_status_phases_and_no_symptom(serve):
    found = ask(serve(OK))
    assert (found.symptom, found.status, found.haproxy_code, found.is_unknown) == (None, 200, "L7OK", False)
    assert set(found.phases_s) == {Phase.CONNECT, Phase.FIRST_BYTE}
    assert all(0 <= took_s < 1 for took_s in found.phases_s.values())


@pytest.mark.parametrize(
    ("status", "expected", "symptom", "code"),
    [
        (404, None, None, "L7OKC"),
        (500, None, None, "L7OKC"),
        (503, None, Symptom.UPSTREAM_STATUS, "L7STS"),
        (404, TargetCheck(target="app", statuses=("200-299",)), Symptom.HEALTH_CHECK_STATUS, "L7STS"),
        (503, TargetCheck(target="app", statuses=("200", "503")), None, "L7OKC"),
        (503, TargetCheck(target="app", statuses=("200",)), Symptom.HEALTH_CHECK_STATUS, "L7STS"),
    ],
)
def test_a_status_is_judged_by_the_proxy_or_by_the_user(serve, status, expected, symptom, code):
    target = serve(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
    found = ask(target, expected)
    assert (found.status, found.symptom, found.haproxy_code) == (status, symptom, code)


def test_a_body_must_contain_what_the_user_wants(serve):
    assert ask(serve(OK), wanted="fin").symptom is None
    found = ask(serve(OK), wanted="\x1b[31mred")
    assert (found.symptom, found.haproxy_code, found.status) == (Symptom.HEALTH_CHECK_FAILED, "L7RSP", 200)
    assert "\x1b" not in found.reason


def test_what_cannot_be_looked_at_is_unknown(monkeypatch):
    def refuse(*_: object, **__: object) -> object:
        raise HostError("too many open files", errno=24)

    monkeypatch.setattr(LocalHost, "connect", refuse)
    found = ask(Target(host="127.0.0.1", port=9))
    assert (found.is_unknown, found.symptom, found.haproxy_code, found.reason) == (True, None, "UNK", "too many open files")


def test_an_error_of_our_own_says_nothing_about_the_member():
    found = asked(LocalHost(), plan_of(), lambda *_: 1 / 0)
    assert (found.is_unknown, found.reason) == (True, "internal error: ZeroDivisionError: division by zero")


def test_a_service_that_systemd_would_start_is_not_connected_to(serve):
    """Whether another process holds the socket is looked at now: the pids of the snapshot may be gone."""
    host, target = LocalHost(), serve(OK)
    inode = next(one.inode for table in host.sockets() for one in table.sockets if one.target == target)
    held = plan_of(target, listeners=(Listener(target=target, pids=(1,), inode=inode),))
    assert check(host, held).symptom is None
    assert not check(host, held).is_unknown
    gone = plan_of(target, listeners=(Listener(target=target, pids=(1, 1 << 22), inode=inode + 1_000_000_000),))
    found = check(host, gone)
    assert (found.is_unknown, found.reason) == (True, NOT_RUNNING)


def test_each_symptom_of_the_way_to_a_member_has_a_code():
    assert set(CODES.values()) == {"L4TOUT", "L4CON", "L6TOUT", "L6RSP", "L7TOUT", "L7STS", "SOCKERR"}
    assert (
        msgspec.json.decode(msgspec.json.encode(ask(Target(host="127.0.0.1", port=9))), type=CheckResult).haproxy_code == "L4CON"
    )


INSIDE = """
import socket, subprocess, sys, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
def serve():
    while True:
        with server.accept()[0] as client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()
"""


@pytest.mark.real
def test_a_member_in_another_network_namespace_is_asked_there_and_unknown_where_that_is_not_allowed():
    with own_network(INSIDE) as (pid, port):
        target = Target(host="127.0.0.1", port=port)
        network = Network(pid=pid, inode=str(os.stat(f"/proc/{pid}/ns/net").st_ino))
        there = plan_of(target, request=Request(target=target, network_of=network, answer_s=5.0))
        theirs = plan_of(target, request=Request(target=target, network_of=network, answer_s=5.0, owner_uid=65534))
        answered, refused = check(LocalHost(), there), check(LocalHost(), theirs)
    assert (answered.status, answered.symptom) == (200, None)
    assert refused.is_unknown and "may not enter it" in refused.reason
    gone = check(LocalHost(), there)
    assert gone.is_unknown and "the process has ended" in gone.reason
