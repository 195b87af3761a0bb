"""Where engines are found, and how little one that hangs, lies or has hundreds of containers can cost."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from why502.host.local import LocalHost
from why502.model.container import Container
from why502.model.snapshot import Gap
from why502.model.target import Target
from why502.supervisors.docker import engine

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LOOK = engine.Look(
    NOW - timedelta(minutes=15), NOW, lambda one: (not one.name.endswith("7"),), (Target(host="127.0.0.1", port=80),)
)
Answer = Callable[[str], bytes | None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Answer], engine.Engine]]:
    """Serve a function from path to body on a unix socket; None: no answer ever."""
    servers: list[socket.socket] = []

    def start(answer: Answer) -> engine.Engine:
        path = tmp_path / "engine.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen(64)
        servers.append(server)

        def run() -> None:
            kept = []
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                kept.append(client)
                body = answer(client.recv(4096).split(b" ")[1].decode())
                if body is not None:
                    client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)
                    client.close()

        threading.Thread(target=run, daemon=True).start()
        return engine.Engine("docker", str(path))

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def listed(count: int) -> bytes:
    return json.dumps([{"Id": f"{n:064x}", "Names": [f"/c{n}"], "State": "running"} for n in range(count)]).encode()


def asked(found: engine.Engine) -> tuple[tuple[Container, ...], list[Gap]]:
    gaps: list[Gap] = []
    return engine.containers(LocalHost(), found, LOOK, gaps), gaps


def test_of_many_the_ones_that_matter_are_examined(serve: Callable[[Answer], engine.Engine]) -> None:
    paths: list[str] = []

    def answer(path: str) -> bytes:
        paths.append(path)
        return listed(600) if path == engine.LIST else b'{"State": {"Status": "running"}}'

    found, gaps = asked(serve(answer))
    whole = [one.name for one in found if one.is_whole]
    assert (len(found), len(whole)) == (engine.CONTAINERS, engine.WHOLE)
    assert all(name.endswith("7") for name in whole)
    assert [gap.reason for gap in gaps] == ["only 512 of 600 containers were listed"]
    assert all(path.startswith(("/containers/", "/events?")) for path in paths)


@pytest.mark.thorough
def test_one_that_hangs_costs_seconds(serve: Callable[[Answer], engine.Engine]) -> None:
    began = time.monotonic()
    found, gaps = asked(serve(lambda path: listed(50) if path == engine.LIST else None))
    assert time.monotonic() - began < engine.ENGINE_S + 1.5
    assert len(found) == 50
    assert [gap.source for gap in gaps][:1] == ["docker container 000000000000"]


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[" * 10_000, b"null", b'{"a": 1}', b'[null, {"Id": "../../etc"}, {"Id": 5}]']
)
def test_nonsense_is_no_container(serve: Callable[[Answer], engine.Engine], body: bytes) -> None:
    served = serve(lambda _: body)
    try:
        assert asked(served)[0] == ()
    except engine.HostError:
        pass


def test_engines_of_root_users_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: dict[str, Any] = {}
    for name in ("run/docker.sock", "user/0/podman/podman.sock", "own.sock"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        places[name] = socket.socket(socket.AF_UNIX)
        places[name].bind(str(path))
    (tmp_path / "run/link.sock").symlink_to(tmp_path / "run/docker.sock")
    monkeypatch.setattr(
        engine, "PLACES", (("docker", str(tmp_path / "run/docker.sock")), ("docker", str(tmp_path / "run/link.sock")))
    )
    monkeypatch.setattr(engine, "USERS_DIRECTORY", str(tmp_path / "user"))
    found = [(one.name, Path(one.socket).name) for one in engine.engines(LocalHost(), f"unix://{tmp_path}/own.sock")]
    assert found == [("docker", "docker.sock"), ("docker", "own.sock"), ("podman", "podman.sock")]
    assert [one.uid for one in engine.engines(LocalHost(), "tcp://10.0.0.1:2375")] == [os.geteuid(), 0]
    for each in places.values():
        each.close()
