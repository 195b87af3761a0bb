"""pm2: a real daemon where pm2 is installed, its protocol as recorded, and that no daemon is ever started."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from asked import ask, until
from free_ports import free_port
from msgspec.structs import replace

from why502.collectors import services
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.service import Service
from why502.model.target import Target
from why502.supervisors.pm2.manager import monitored

PM2 = shutil.which("pm2")


def answering(directory: Path, answer: bytes) -> str:
    """Return the path of a socket that sends these bytes once, then closes."""
    path = str(directory / "rpc.sock")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    return path


def framed(*arguments: bytes) -> bytes:
    return bytes([0x10 | len(arguments)]) + b"".join(struct.pack(">I", len(part)) + part for part in arguments)


def test_the_answer_of_a_daemon(tmp_path: Path) -> None:
    path = answering(tmp_path, framed(b'j:{"args":[[{"pid":7,"name":"api","pm2_env":{"status":"online"}},3]]}', b"s:why502:0"))
    assert monitored(LocalHost(), path) == [{"pid": 7, "name": "api", "pm2_env": {"status": "online"}}]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x12",
        framed(b"nonsense"),
        framed(b'j:{"error":"no"}'),
        framed(b"j:[]"),
        b"\x12\xff\xff\xff\xff",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_malformed_answer(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(HostError):
        monitored(LocalHost(), answering(tmp_path, answer))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    environment = {**os.environ, "HOME": str(tmp_path), "PM2_HOME": str(tmp_path / ".pm2")}
    yield environment
    if (tmp_path / ".pm2" / "pm2.pid").exists():
        subprocess.run([str(PM2), "kill"], env=environment, capture_output=True, timeout=30, check=False)


@pytest.mark.real
@pytest.mark.skipif(PM2 is None, reason="needs pm2")
def test_a_real_daemon(tmp_path: Path, home: dict[str, str]) -> None:
    serves, broken = free_port(), free_port()
    (tmp_path / "web.js").write_text(f"require('http').createServer((q, r) => r.end()).listen({serves}, '127.0.0.1')")
    (tmp_path / "api.js").write_text("require('nosuchmodule')")
    for name in ("web", "api"):
        subprocess.run(
            [str(PM2), "start", f"{name}.js", "--name", name],
            env={**home, "PORT": str(broken)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=60,
        )
    until(lambda: "too many unstable restarts" in (tmp_path / ".pm2" / "pm2.log").read_text())
    host, targets = LocalHost(), [Target(host="127.0.0.1", port=port) for port in (serves, broken)]
    found = {service.name: service for service in ask(host, *targets)}
    assert (found["web"].is_running, found["web"].targets) == (True, (targets[0],))
    api = found["api"]
    assert (api.state, api.is_running, api.exit_code) == ("errored", False, 1)
    assert api.link == f"its variable PORT names port {broken}"
    assert api.reason[-1] == "Error: Cannot find module 'nosuchmodule'"
    assert "PATH" not in str(api)  # nothing of its environment is kept


@pytest.mark.real
@pytest.mark.skipif(PM2 is None, reason="needs pm2")
def test_the_daemon_listens_for_its_cluster(tmp_path: Path, home: dict[str, str]) -> None:
    """Its workers have no listening socket of their own."""
    port, other = free_port(), free_port()
    (tmp_path / "api.js").write_text(f"require('http').createServer((q, r) => r.end()).listen({port}, '127.0.0.1')")
    (tmp_path / "idle.js").write_text("setInterval(() => 0, 1000)")
    for name, count in (("api", "2"), ("idle", "")):
        argv = [str(PM2), "start", f"{name}.js", "--name", name, *(("-i", count) if count else ())]
        subprocess.run(argv, env=home, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    host, target = LocalHost(), Target(host="127.0.0.1", port=port)
    until(lambda: any(service.name == "api" for service in ask(host, target)))
    assert {service.name: service.targets for service in ask(host, target) if service.manager == "pm2"} == {"api": (target,)}
    again = [str(PM2), "start", "api.js", "--name", "twin", "-i", "1"]
    (tmp_path / "api.js").write_text(f"require('http').createServer((q, r) => r.end()).listen({other}, '127.0.0.1')")
    subprocess.run(again, env=home, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    until(
        lambda: not any(service.manager == "pm2" and service.targets for service in ask(host, target))
    )  # either of them may have it


@pytest.mark.skipif(os.path.exists("/root/.pm2"), reason="this machine's own pm2 was used before")
def test_no_daemon_is_started() -> None:
    ask(LocalHost(), Target(host="127.0.0.1", port=free_port()))
    assert not os.path.exists("/root/.pm2")


def _manager(name: str, *found: Service) -> ModuleType:
    manager = ModuleType(f"why502.supervisors.{name}.manager")
    manager.NAME = name  # type: ignore[attr-defined]
    manager.services = lambda *_: found  # type: ignore[attr-defined]
    return manager


def _in_vain(*applications: Service) -> tuple[Service, ...]:
    """Return what is found where a unit that names the silent target manages these applications, none of which listens."""
    unit = Service(manager="systemd", name="pm2.service", is_running=True, targets=(SILENT,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "MANAGERS", (_manager("systemd", unit), _manager("pm2", *applications)))
        return ask(LocalHost(), SILENT)


SILENT = Target(host="127.0.0.1", port=1)  # tcpmux: nobody listens there
ERRORED = Service(manager="pm2", name="shop", state="errored", is_running=False, manager_unit="pm2.service")


def test_the_one_application_that_is_started_in_vain_belongs_to_what_nothing_listens_on() -> None:
    assert {service.name for service in _in_vain(ERRORED) if SILENT in service.targets} == {"shop"}


@pytest.mark.parametrize(
    "applications",
    [
        (ERRORED, replace(ERRORED, name="jobs")),
        (replace(ERRORED, manager_unit=""),),
        (replace(ERRORED, manager_unit="other.service"),),
    ],
    ids=["two of them", "of no unit", "of another unit"],
)
def test_which_application_it_is_may_be_unknown(applications: tuple[Service, ...]) -> None:
    assert {service.name for service in _in_vain(*applications)} == {"pm2.service"}
