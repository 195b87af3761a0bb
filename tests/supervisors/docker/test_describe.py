"""Answers of real engines (Docker 20.10, podman 4.3), as they were recorded, and answers that nobody should send."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from why502.model.base import encode
from why502.model.container import Container, Publication
from why502.supervisors.docker import describe, history, manager

DATA = Path(__file__).parents[2] / "data/containers"
RECORDED = {"docker": "docker_20.10.json", "podman": "podman_4.3.json"}


def recorded(engine: str) -> dict[str, Any]:
    return dict(json.loads((DATA / RECORDED[engine]).read_text()))


def containers(engine: str) -> dict[str, Container]:
    told = recorded(engine)
    known = {one.name: one for row in told["list"] if (one := describe.listed(engine, "/s", 0, row))}
    return {name: describe.inspected(known[name], inside) for name, inside in told["inspect"].items()}


@pytest.mark.parametrize("engine", RECORDED)
def test_networks_ports_health_and_compose(engine: str) -> None:
    api = containers(engine)["shop-api-1"]
    assert (api.is_running, api.networks) == (True, {"shop_default", "front"})
    assert api.is_called("api", "shop_default") and not api.is_called("api", "front")
    assert all(place.address and place.gateway for place in api.attachments)
    assert api.published == (Publication(inner=3000, outer=8081, host="127.0.0.1"),)
    assert api.health is not None
    assert (api.health.status, api.health.output) == ("unhealthy", "/bin/sh: curl: not found")
    assert api.health.argv == ("CMD-SHELL", "curl -f http://127.0.0.1:3000/")
    assert (api.project, api.service, api.config_files) == ("shop", "api", ("/srv/shop/compose.yaml",))
    assert api.depends_on == {"db": "service_healthy", "cache": "service_started"}
    assert api.memory_limit_bytes == 64 << 20
    assert api.shown == "container shop-api-1 (compose service api)"
    assert api.command("restart") == (engine, "compose", "-f", "/srv/shop/compose.yaml", "-p", "shop", "restart", "api")
    assert api.argv == ("python3", "/app/server.py", "0.0.0.0:3000")


@pytest.mark.parametrize("engine", RECORDED)
def test_no_value_of_the_environment_is_kept(engine: str) -> None:
    told = json.dumps(recorded(engine))
    assert "hunter2secret" in told
    for container in containers(engine).values():
        assert b"hunter2secret" not in encode(container)
        assert "hunter2secret" not in str(manager.of_container(container))


@pytest.mark.parametrize("engine", RECORDED)
def test_a_list_alone_names_and_places(engine: str) -> None:
    rows = {one.name: one for one in (describe.listed(engine, "/s", 0, row) for row in recorded(engine)["list"])}
    api = rows["shop-api-1"]
    assert (api.state, api.is_whole, api.service, bool(api.addresses)) == ("running", False, "api", True)
    assert (api.published[0].inner, api.published[0].outer) == (3000, 8081)


def test_one_that_ended_and_one_that_did_not_start() -> None:
    docker = containers("docker")
    assert (docker["gone"].exit_code, docker["gone"].is_running) == (3, False)
    assert docker["gone"].stopped_at is not None
    assert (docker["badcmd"].exit_code, docker["badcmd"].started_at) == (127, None)
    assert "executable file not found" in docker["badcmd"].error
    (event,) = history.of_history(docker["badcmd"])
    assert (event.symptom, event.unit) == ("start-failed", "badcmd")


def test_events_of_a_name() -> None:
    found = describe.by_name(describe.events("\n".join(recorded("docker")["events"]).encode()))
    actions = [event.action for event in found["shop-api-1"]]
    assert {"kill", "die", "stop", "start", "connect"} <= set(actions)
    assert next(event.code for event in found["shop-api-1"] if event.action == "die") in (0, 137, 143)
    assert [event.at for event in found["shop-api-1"]] == sorted(event.at for event in found["shop-api-1"])
    assert all(event.at > datetime(2026, 1, 1, tzinfo=UTC) for event in found["shop-api-1"])


HOSTILE: tuple[Any, ...] = (
    {},
    {"Id": 7, "Names": "x", "State": [], "Labels": [], "Ports": {"a": 1}, "NetworkSettings": 5, "Created": "x"},
    {"Names": [None, 3, "/a\x1b[2Jb"], "Ports": [None, {"Type": "tcp", "PrivatePort": "80", "PublicPort": True}]},
    {"Names": ["/" + "x" * 100_000], "Created": 10**30, "NetworkSettings": {"Networks": {"n\n": {"IPAddress": 4}}}},
)
DETAILS: tuple[Any, ...] = (
    {},
    {"State": None, "Config": [], "HostConfig": 3, "NetworkSettings": None, "Name": 5, "RestartCount": True},
    {
        "State": {"Status": "exited", "ExitCode": 10**40, "Health": {"Status": "unhealthy", "Log": [None, 7, {"Output": {}}]}},
        "Config": {"Cmd": "a", "Entrypoint": [1, None], "ExposedPorts": {"x/tcp": 1, "99999999/tcp": 1}, "Healthcheck": []},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "\u0664"}, {"HostPort": 3}, None], "x": 1}},
    },
    {"Config": {"Labels": {"com.docker.compose.project.config_files": "../a,/b", "com.docker.compose.depends_on": ":,a:b:c,"}}},
)


def test_no_answer_can_break_it() -> None:
    for row in HOSTILE:
        known = describe.listed("docker", "/s", 0, row)
        for inside in DETAILS:
            found = describe.inspected(known, inside)
            service = manager.of_container(found)
            assert len(encode(found)) < 20_000
            assert "\x1b" not in str(service)
    for text in (
        b"",
        b"[]",
        b"{}\nnull\n\xff",
        b'{"time": 1e300}',
        b"[" * 100_000,
        b'{"Actor":{"Attributes":7},"time":1,"Action":"die"}',
    ):
        assert describe.by_name(describe.events(text)) == {}


def test_files_of_compose_are_absolute_paths() -> None:
    found = describe.inspected(describe.listed("docker", "/s", 0, {}), DETAILS[3])
    assert (found.config_files, found.depends_on) == (("/b",), {"a": "b"})


@pytest.mark.parametrize(
    ("labels", "port"),
    [
        ({"traefik.enable": "true", "traefik.http.services.api.loadbalancer.server.port": "3000"}, 3000),
        ({"traefik.HTTP.Services.api.LoadBalancer.Server.Port": "3000"}, 3000),
        (
            {"traefik.http.services.a.loadbalancer.server.port": "1", "traefik.http.services.b.loadbalancer.server.port": "2"},
            None,
        ),
        ({"traefik.http.services.api.loadbalancer.server.port": "99999"}, None),
        ({"traefik.enable": "false", "traefik.http.services.api.loadbalancer.server.port": "3000"}, None),
        ({"other.loadbalancer.server.port": "3000"}, None),
    ],
)
def test_the_port_that_labels_route_to(labels: dict[str, str], port: int | None) -> None:
    found = describe.inspected(describe.listed("docker", "/s", 0, {}), {"Config": {"Labels": labels}})
    assert found.routed_port == port


def test_sigkill_under_podman_is_no_crash() -> None:
    """podman records no orders to stop; Docker does, so there a SIGKILL without one came from elsewhere."""
    killed = {"State": {"Status": "exited", "ExitCode": 137}}
    of = {name: manager.of_container(describe.inspected(describe.listed(name, "/s", 0, {}), killed)) for name in RECORDED}
    assert (of["podman"].signal, of["docker"].signal) == (None, 9)
