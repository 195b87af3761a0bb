"""Admin interfaces are asked only here, only to read, and only for a bounded time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from why502.gateways import admin
from why502.gateways.admin import AdminView, Asking, Door, with_view
from why502.host.local import LocalHost
from why502.model.errors import Denied, Expired, HostError
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.target import Target


@contextmanager
def answering(answer: Callable[[socket.socket, bytes], None], path: str = "") -> Iterator[Target]:
    """Yield the address of a server that passes each connection and what it received first to `answer`."""
    listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listening.bind(path or ("127.0.0.1", 0))
    listening.listen()

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            with taken:
                answer(taken, taken.recv(4096))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Target.unix(path) if path else Target(host="127.0.0.1", port=listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        assert not thread.is_alive()


def asking(target: Target, proxy: Proxy | None = None, **door: str) -> Asking:
    return Asking(LocalHost(), proxy or Proxy(kind="caddy"), Door(target=target, named_by="its default", **door))


def test_a_get_names_the_host_and_reads_json() -> None:
    seen: list[bytes] = []

    def answer(taken: socket.socket, question: bytes) -> None:
        seen.append(question)
        taken.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1, 2\r\n1\r\n]\r\n0\r\n\r\n")

    with answering(answer) as target:
        assert asking(target).json("/config/") == [1, 2]
        assert asking(Target(host="0.0.0.0", port=target.port), host_header="localhost:2019").json("/config/") == [1, 2]
    assert seen[0].startswith(b"GET /config/ HTTP/1.1\r\n") and f"Host: {target}".encode() in seen[0]
    assert b"Host: localhost:2019" in seen[1]


def test_a_unix_socket_is_asked_below_the_root_of_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with answering(lambda taken, _: taken.sendall(b"Name: HAProxy\n"), f"{tmp_path}/run/s"):
        proxy = Proxy(kind="haproxy", root=str(tmp_path))
        assert asking(Target.unix("/run/s"), proxy).command("show info") == "Name: HAProxy\n"


def test_a_redirect_and_other_statuses_are_errors() -> None:
    def answer(taken: socket.socket, _: bytes) -> None:
        taken.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")

    with answering(answer) as target, pytest.raises(HostError, match="answered 302"):
        asking(target).get("/")


def test_only_the_loopback_interface_is_asked() -> None:
    for host in ("192.0.2.1", "gateway.example", "10.0.0.1"):
        with pytest.raises(Denied, match="not an address of the loopback interface"):
            asking(Target(host=host, port=2019)).get("/config/")


def test_only_questions_are_asked() -> None:
    target = Target(host="127.0.0.1", port=9)
    for path in ("config/", "/a b", "/\r\nX: y", "http://192.0.2.1/"):
        with pytest.raises(HostError, match=r"is not a (?:request|command) that why502"):
            asking(target).get(path)
    for words in ("set server a/b state drain", "show stat\nset x", "", "help"):
        with pytest.raises(HostError, match=r"is not a (?:request|command) that why502"):
            asking(target).command(words)


def test_an_answer_that_does_not_end_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ANSWER_S", 0.2)
    ended = threading.Event()
    with answering(lambda taken, _: ended.wait(5) and None) as target:
        begun = time.monotonic()
        for ask in (asking(target).get, asking(target).command):
            with pytest.raises(Expired):
                ask("/" if ask.__name__ == "get" else "show info")
        assert time.monotonic() - begun < 4
        late = asking(target)
        late.until = time.monotonic()
        with pytest.raises(Expired, match="in all"):
            late.get("/")
        ended.set()


def test_a_huge_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ANSWER_BYTES", 1000)

    def answer(taken: socket.socket, _: bytes) -> None:
        try:
            taken.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
        except OSError:
            pass  # it stopped reading

    with answering(answer) as target:
        with pytest.raises(HostError, match="longer than"):
            asking(target).get("/")
        with pytest.raises(HostError):
            asking(target).command("show stat")


def test_the_view_becomes_part_of_the_gateway() -> None:
    peer = PeerView(group="app", name="s1", target=Target(host="127.0.0.1", port=3001), state=PeerState.DOWN, source="show stat")
    door = Door(target=Target.unix("/run/s"), named_by="its configuration")
    proxy = with_view(Proxy(kind="haproxy", version="2.8"), AdminView(peers=(peer,), version="2.8.1"), door)
    assert (proxy.peers, proxy.admin, proxy.version, proxy.routes) == ((peer,), "unix:/run/s", "2.8", ())
