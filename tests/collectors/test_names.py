"""Names: the system's answer, the hosts file, and real name servers on loopback that answer, refuse, fail or keep silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from dns import message, rcode, rrset
from hypothesis import given
from hypothesis import strategies as st

from why502.collectors import name_server, names
from why502.collectors.base import CollectOptions
from why502.host.base import Finished
from why502.host.connection import SocketConnection
from why502.host.local import LocalHost
from why502.model.config import Peer, Route, Setting
from why502.model.logs import LogSummary, Symptom, Tally
from why502.model.proxy import Proxy
from why502.model.snapshot import Lookup, Resolution, Snapshot
from why502.model.target import Target

Behaviour = Callable[[message.Message], message.Message | None]


class Server:
    """A name server on loopback with configured answers."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stream.bind(("127.0.0.1", 0))
        self.stream.settimeout(0.05)
        self.target = Target(host="127.0.0.1", port=self.stream.getsockname()[1])
        self.behaviour = behaviour
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while not self.ends.is_set():
            try:
                data, sender = self.stream.recvfrom(4096)
            except TimeoutError:
                continue
            if answer := self.behaviour(message.from_wire(data)):
                self.stream.sendto(answer.to_wire(), sender)

    def stop(self) -> None:
        self.ends.set()
        self.thread.join()
        self.stream.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], Target]]:
    servers: list[Server] = []

    def one(behaviour: Behaviour) -> Target:
        servers.append(Server(behaviour))
        return servers[-1].target

    yield one
    for server in servers:
        server.stop()


def answers(v4: tuple[str, ...] = (), v6: tuple[str, ...] = (), code: int = rcode.NOERROR, ttl: int = 30) -> Behaviour:
    def behaviour(question: message.Message) -> message.Message:
        answer = message.make_response(question)
        answer.set_rcode(rcode.Rcode(code))
        asked = question.question[0]
        for kind, found in (("A", v4), ("AAAA", v6)):
            if found and asked.rdtype.name == kind:
                answer.answer.append(rrset.from_text(asked.name, ttl, "IN", kind, *found))
        return answer

    return behaviour


def silent(question: message.Message) -> None:
    return None


def test_a_server_that_resolves_the_name(serve: Callable[[Behaviour], Target]) -> None:
    target = serve(answers(("10.0.0.1", "10.0.0.2"), ("fd00::1",)))
    found = name_server.ask_server(LocalHost(), "app.internal", target)
    assert (found.name, found.source, found.outcome, found.ttl_s, found.is_resolver) == (
        "app.internal",
        str(target),
        "ok",
        30.0,
        True,
    )
    assert sorted(found.addresses) == ["10.0.0.1", "10.0.0.2", "fd00::1"]
    assert len(name_server.ask_server(LocalHost(), "app.internal", target, with_v6=False).addresses) == 2


@pytest.mark.parametrize(
    ("behaviour", "outcome", "detail"),
    [
        (answers(code=rcode.NXDOMAIN), "not-found", "NXDOMAIN"),
        (answers(code=rcode.SERVFAIL), "failed", "SERVFAIL"),
        (answers(code=rcode.REFUSED), "failed", "REFUSED"),
        (answers(), "no-address", ""),
        (silent, "timed-out", "no answer"),
    ],
)
def test_a_server_that_does_not_resolve_the_name(
    serve: Callable[[Behaviour], Target], monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, outcome: str, detail: str
) -> None:
    monkeypatch.setattr(name_server, "WAIT_S", 0.2)
    found = name_server.ask_server(LocalHost(), "app.internal", serve(behaviour))
    assert (found.outcome, found.addresses) == (outcome, ())
    assert detail in found.detail


def test_one_lost_answer_does_no_harm(serve: Callable[[Behaviour], Target], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_server, "WAIT_S", 0.3)
    lost: list[message.Message] = []

    def behaviour(question: message.Message) -> message.Message | None:
        if not lost:
            lost.append(question)
            return None
        return answers(("10.0.0.1",))(question)

    assert name_server.ask_server(LocalHost(), "app", serve(behaviour)).outcome == "ok"


def test_a_server_that_never_ends_is_left(serve: Callable[[Behaviour], Target], monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers another question, and what is no message at all, ends within the time of an honest server."""
    monkeypatch.setattr(name_server, "WAIT_S", 0.2)

    def behaviour(question: message.Message) -> message.Message:
        return answers(("10.0.0.1",))(message.make_query("other.example", "A", id=question.id ^ 1))

    found = name_server.ask_server(LocalHost(), "app", serve(behaviour))
    assert (found.outcome, found.addresses) == ("timed-out", ())

    class Garbage(message.Message):
        def to_wire(self, *_: object, **__: object) -> bytes:
            return b"\xff" * 600

    found = name_server.ask_server(LocalHost(), "app", serve(lambda question: Garbage()))
    assert (found.outcome, found.addresses) == ("failed", ())


def test_no_server_there(serve: Callable[[Behaviour], Target]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = name_server.ask_server(LocalHost(), "app", Target(host="127.0.0.1", port=port))
    assert found.outcome == "failed"
    assert "refused" in found.detail


def known(*peers: Peer, tallies: tuple[Tally, ...] = (), **parts: object) -> Snapshot:
    route = msgspec.structs.replace(Route(peers=peers), **parts)
    return Snapshot(
        taken_at=datetime(2026, 1, 1, tzinfo=UTC), proxies=(Proxy(routes=(route,)),), logs=LogSummary(tallies=tallies)
    )


def peer(name: str, port: int = 80, *, resolves: bool = False) -> Peer:
    return Peer(name=f"{name}:{port}", target=Target(host=name, port=port), resolves=resolves)


class Machine(LocalHost):
    """This machine with its own hosts file and name servers; getent reads only the file."""

    def __init__(self, hosts: bytes = b"127.0.0.1 localhost\n", resolv: bytes = b"") -> None:
        super().__init__()
        self.files = {"/etc/hosts": hosts, "/etc/resolv.conf": resolv}

    def read(self, path: str, *, limit_bytes: int = 16 << 20) -> bytes:
        return self.files.get(path) or super().read(path, limit_bytes=limit_bytes)

    def run(self, *argv: str, timeout_s: float = 5.0) -> Finished:
        found = names.parse_hosts(self.files["/etc/hosts"], argv[2])
        return Finished(
            status=0 if found else 2, stdout="".join(f"{address}  STREAM {argv[2]}\n" for address in found), stderr=""
        )


def test_the_system_is_asked_for_every_name_once() -> None:
    found = names.collect(
        Machine(b"10.0.0.9 app db\n::1 app\n"),
        known(peer("app"), peer("app", 81), peer("db"), peer("127.0.0.1")),
        CollectOptions(),
    )
    assert found.value == (
        Resolution(name="app", source="/etc/hosts", addresses=("10.0.0.9", "::1")),
        Resolution(name="db", source="/etc/hosts", addresses=("10.0.0.9",)),
    )


def test_this_machine_knows_localhost() -> None:
    found = names.collect(LocalHost(), known(peer("localhost")), CollectOptions(probes=False))
    assert found.value and set(found.value[0].addresses) & {"127.0.0.1", "::1"}


def test_the_resolver_is_asked_only_where_nginx_would(serve: Callable[[Behaviour], Target]) -> None:
    server = serve(answers(("10.0.0.1",), ("fd00::1",)))
    setting = {"resolver": (Setting(args=(str(server), "valid=10s", "ipv6=off")),)}
    for parts, asked in (({"has_variables": True}, True), ({}, False)):
        found = names.collect(Machine(b"10.0.0.9 app\n"), known(peer("app"), settings=setting, **parts), CollectOptions())
        by_resolver = [x for x in found.value or () if x.is_resolver]
        assert [(x.source, x.addresses) for x in by_resolver] == ([(str(server), ("10.0.0.1",))] if asked else [])
    found = names.collect(Machine(b"10.0.0.9 app\n"), known(peer("app", resolves=True), settings=setting), CollectOptions())
    assert any(x.is_resolver for x in found.value or ())


def test_without_probes_no_name_server_is_asked() -> None:
    setting = {"resolver": (Setting(args=("127.0.0.1:1",)),)}
    found = names.collect(Machine(), known(peer("app", resolves=True), settings=setting), CollectOptions(probes=False))
    assert found.value == (Resolution(name="app", outcome=Lookup.NOT_FOUND, detail="getent ahosts finds nothing"),)
    assert any("127.0.0.1:1" in gap.reason for gap in found.gaps)


def test_the_reason_why_the_system_finds_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"192.0.2.1": "timed-out", "192.0.2.2": "not-found"}

    def ask(host: object, name: str, server: Target, **_: object) -> Resolution:
        return Resolution(name=name, source=str(server), outcome=said[server.host])

    monkeypatch.setattr(names, "ask_server", ask)
    machine = Machine(resolv=b"search x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    found = names.collect(machine, known(peer("app")), CollectOptions())
    assert found.value and (found.value[0].outcome, found.value[0].detail) == ("not-found", "192.0.2.2:53: not-found")


def test_names_from_logs_are_names_or_are_left_alone() -> None:
    tallies = tuple(
        Tally(symptom=Symptom.NAME_NOT_FOUND, detail=detail)
        for detail in ("app.internal", "-n", "a b", "x;reboot", "../etc", "app:8080", "10.0.0.1", "x" * 300)
    )
    found = names.collect(Machine(), known(tallies=tallies), CollectOptions(probes=False))
    assert [x.name for x in found.value or ()] == ["app.internal", "app"]


def test_names_inside_a_container(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("172.18.0.5 app # compose\n")
    proxy = Proxy(root=str(tmp_path), network="7", routes=(Route(peers=(peer("app"), peer("db"))),))
    found = names.collect(LocalHost(), Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC), proxies=(proxy,)), CollectOptions())
    assert found.value == (Resolution(name="app", source="/etc/hosts", addresses=("172.18.0.5",), network="7"),)
    assert found.gaps  # it has no /etc/resolv.conf


def test_the_files_of_a_resolver_are_read_as_its_library_does() -> None:
    search = names.parse_lookup(b"# docker\nnameserver 127.0.0.11\nsearch corp.example lan. -x\noptions edns0 ndots:2\n")
    assert search == names.Search(("127.0.0.11",), ("corp.example", "lan."), 2)
    assert search.candidates("app") == ("app.corp.example", "app.lan", "app")
    assert search.candidates("a.b.c") == ("a.b.c", "a.b.c.corp.example", "a.b.c.lan")
    assert search.candidates("app.") == ("app.",)
    assert names.parse_lookup(b"options ndots:0\n").candidates("app") == ("app",)
    assert names.parse_sources(b"hosts: dns [!UNAVAIL=return] files # why not\n") == ("dns", "files")
    assert names.parse_sources(b"passwd: files\n") == names.parse_sources(b"") == ("files", "dns")


def test_a_container_asks_its_own_name_server(serve: Callable[[Behaviour], Target], tmp_path: Path) -> None:
    """Its search list is used, and its hosts file, in the order of its nsswitch.conf."""
    asked: list[str] = []

    def behaviour(question: message.Message) -> message.Message:
        asked.append(question.question[0].name.to_text())
        return answers(("10.0.0.7",) if asked[-1] == "app.lan." else (), code=rcode.NOERROR)(question)

    server = serve(behaviour)

    class Container(LocalHost):
        def connect(self, target: Target, **options: object) -> SocketConnection:
            assert target == Target(host="127.0.0.11", port=53)
            return super().connect(server, **options)  # type: ignore[arg-type]

    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("10.0.0.9 app\n")
    (tmp_path / "etc/resolv.conf").write_text("nameserver 127.0.0.11\nsearch lan\n")
    (tmp_path / "etc/nsswitch.conf").write_text("hosts: dns files\n")
    proxy = Proxy(root=str(tmp_path), routes=(Route(peers=(peer("app"),)),))
    found = names.collect(Container(), Snapshot(taken_at=datetime(2026, 1, 1, tzinfo=UTC), proxies=(proxy,)), CollectOptions())
    assert found.value == (
        Resolution(name="app", source="127.0.0.11:53", addresses=("10.0.0.7",), ttl_s=30.0, servers=("127.0.0.11",)),
    )
    assert asked == ["app.lan.", "app.lan."]  # A and AAAA


@given(st.binary(max_size=200))
def test_any_text_is_read(content: bytes) -> None:
    names.parse_hosts(content, "app")
    names.parse_name_servers(content)
    names.parse_ahosts(content.decode("utf-8", "replace"))
