"""A container engine: objects written after its API, no real engine, served over a unix socket."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from why502.host.local import LocalHost
from why502.model.container import Attachment, Container
from why502.model.target import Target
from why502.supervisors.base import Look
from why502.supervisors.docker import engine as engines
from why502.supervisors.docker import manager as docker

WEB, API, HOG, TOLD = "a" * 64, "b" * 64, "c" * 64, "d" * 64
PUBLISHED = {"3000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "3000"}]}
CONTAINERS: dict[str, dict[str, Any]] = {
    WEB: {
        "Id": WEB, "Name": "/web", "RestartCount": 0,
        "State": {"Status": "running", "Running": True, "OOMKilled": False, "Pid": 77, "ExitCode": 0, "Error": "",
        "StartedAt": "2026-11-21T00:00:01.5Z", "FinishedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Cmd": ["node", "s.js"], "Env": ["SECRET=x"], "Image": "web:1"},
        "HostConfig": {"NetworkMode": "bridge", "RestartPolicy": {"Name": "always"}},
        "NetworkSettings": {"Ports": PUBLISHED, "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
    },
    API: {
        "Id": API, "Name": "/api", "RestartCount": 4,
        "State": {"Status": "restarting", "Running": False, "OOMKilled": False, "Pid": 0, "ExitCode": 1, "Error": "",
        "StartedAt": "2026-11-21T00:00:01Z", "FinishedAt": "2026-11-21T00:00:02Z"},
        "Config": {"Cmd": ["node", "api.js"]}, "HostConfig": {"NetworkMode": "bridge",
        "PortBindings": {"4000/tcp": [{"HostIp": "", "HostPort": "4000"}]}},
        "NetworkSettings": {"Ports": {}, "Networks": {}},
    },
    HOG: {
        "Id": HOG, "Name": "/hog", "RestartCount": 0,
        "State": {"Status": "exited", "Running": False, "OOMKilled": True, "Pid": 0, "ExitCode": 137, "Error": "",
        "StartedAt": "2026-11-21T00:00:01Z", "FinishedAt": "2026-11-21T00:00:09Z"},
        "Config": {"Cmd": None, "Entrypoint": ["python3", "hog.py"]},
        "HostConfig": {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5000"}]},
        "Memory": 67108864},
        "NetworkSettings": None,
    },
}  # fmt: skip
CONTAINERS[TOLD] = CONTAINERS[HOG] | {"Id": TOLD, "Name": "/told", "State": CONTAINERS[HOG]["State"] | {"OOMKilled": False}}
EVENTS = [
    {"Action": action, "Type": "container", "time": 1795219209 - 3 + at,
    "Actor": {"ID": TOLD, "Attributes": {"name": "told", **more}}}
    for at, (action, more) in enumerate((("kill", {"signal": "15"}), ("die", {"exitCode": "137"}), ("stop", {})))
]  # fmt: skip
OUTPUT = "2026-11-21T00:00:01.9Z Error: Cannot find module 'express'\n2026-11-21T00:00:02.0Z Node.js v20.20.2\n"


class Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/containers/json":
            body = json.dumps(
                [{"Id": key, "State": one["State"]["Status"], "Created": 1} for key, one in CONTAINERS.items()]
            ).encode()
        elif path == "/events":
            body = "".join(json.dumps(event) + "\n" for event in EVENTS).encode()
        elif path.endswith("/logs"):
            body = b"".join(struct.pack(">BxxxI", 2, len(line)) + line for line in OUTPUT.encode().splitlines(keepends=True))
        else:
            body = json.dumps(CONTAINERS[path.split("/")[2]]).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    path = str(tmp_path / "engine.sock")
    monkeypatch.setattr(engines, "PLACES", (("docker", path),))
    monkeypatch.setattr(engines, "OF_USER", ())
    with socketserver.ThreadingUnixStreamServer(path, Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield path
        server.shutdown()


def look(*targets: Target, listening: tuple[int, ...] = ()) -> Look:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    asked = engines.Look(now, now, lambda container: (container.name,), targets)
    found = tuple(container for _, each, _ in engines.every(LocalHost(), asked) for container in each)
    return Look(
        owners=dict.fromkeys(targets, listening),
        processes={},
        parents={},
        names={},
        pools=(),
        containers=found,
        since=now,
        until=now,
    )


def test_containers_behind_targets(engine: str) -> None:
    published, gone, hog = (Target(host="127.0.0.1", port=port) for port in (3000, 4000, 5000))
    inside = Target(host="172.17.0.2", port=3000)
    found = {service.name: service for service in docker.services(LocalHost(), look(published, inside, gone, hog))}
    assert found["web"].targets == (published, inside)
    assert found["web"].is_running is True
    assert (found["api"].is_running, found["api"].restarts, found["api"].exit_code) == (False, 4, 1)
    assert found["api"].reason[-1] == "Error: Cannot find module 'express'"
    assert found["api"].start_argv == ("docker", "start", "api")
    assert (found["hog"].signal, found["hog"].oom_killed, found["hog"].exit_message) == (9, True, "137: killed by SIGKILL")
    assert found["hog"].stopped_at == datetime(2026, 11, 21, 0, 0, 9, tzinfo=UTC)
    assert (found["told"].signal, found["told"].exit_code) == (None, None)  # 137 after `docker stop` is not a crash
    assert found["told"].exit_message == "137: stopped by a command to docker"
    assert "SECRET" not in str(found)


def test_other_targets_are_not_containers(engine: str) -> None:
    assert docker.services(LocalHost(), look(Target(host="127.0.0.1", port=9999))) == ()


def test_a_user_cannot_claim_roots_targets_by_name_or_address() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    place = Attachment(network="n", address="172.30.0.9", names=("api",))
    target = Target(host="172.30.0.9", port=3000)

    def found(uid: int) -> tuple[Target, ...]:
        one = Container(engine="podman", id="a" * 64, name="api", owner_uid=uid, state="exited", attachments=(place,))
        asked = Look(
            owners={target: ()}, processes={}, parents={}, names={}, pools=(), containers=(one,), called={target: ("api",)},
            since=now, until=now,
        )  # fmt: skip
        return tuple(each for service in docker.services(LocalHost(), asked) for each in service.targets)

    assert (found(0), found(1000)) == ((target,), ())


@pytest.mark.parametrize(
    ("state", "network", "is_linked"),
    [
        ("exited", "4026532985", True),
        ("exited", "4026532999", False),  # of a pod without a proxy: 127.0.0.1 is another there
        ("running", "4026532985", False),  # a client of what it names, perhaps
    ],
)
def test_one_that_ended_beside_a_proxy_in_its_network(state: str, network: str, is_linked: bool) -> None:
    """In a podman pod, or with `network_mode: service:…`, what one container names on 127.0.0.1 is the others' too."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    target = Target(host="127.0.0.1", port=3000)
    infra = Container(engine="podman", id="a" * 64, name="infra", state="running", network=network)
    app = Container(
        engine="podman",
        id="b" * 64,
        name="api",
        state=state,
        network_mode=f"container:{infra.id}",
        links={str(target): "its command"},
    )
    asked = Look(
        owners={target: ()}, processes={}, parents={}, names={}, pools=(), containers=(infra, app), since=now, until=now,
        networks=frozenset({"4026532985"}),
    )  # fmt: skip
    assert [service.name for service in docker.services(LocalHost(), asked)] == (["api"] if is_linked else [])


def test_output_has_times(engine: str) -> None:
    lines = list(engines.output(LocalHost(), engines.Engine("docker", engine), API, datetime(2026, 11, 21, tzinfo=UTC)))
    assert lines[0] == (datetime(2026, 11, 21, 0, 0, 1, 900000, tzinfo=UTC), "Error: Cannot find module 'express'")


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PLACES", (("docker", str(tmp_path / "none.sock")),))
    monkeypatch.setattr(engines, "OF_USER", ())
    asked = look(Target(host="127.0.0.1", port=1))
    assert docker.services(LocalHost(), asked) == ()
    assert asked.gaps == []
