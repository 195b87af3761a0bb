"""A real Traefik: found by its command line, its environment or its files, and asked about its servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from free_ports import free_port
from gateways.running_fronts import asked, found, program, serving
from serving import answering

from why502.model.proxy import PeerState
from why502.model.target import Target

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]
APP = Target(host="127.0.0.1", port=1)


def dynamic(**balancer: object) -> dict[str, object]:
    servers = [{"url": "http://127.0.0.1:1"}]
    return {
        "http": {
            "routers": {
                "shop": {"rule": "Host(`shop.example`)", "service": "shop", "entryPoints": ["web"]},
                "lost": {"rule": "Path(`/lost`)", "service": "absent", "entryPoints": ["web"]},
            },
            "services": {"shop": {"loadBalancer": {"servers": servers, **balancer}}},
        }
    }


def test_files_and_its_own_view(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    (tmp_path / "conf.d").mkdir()
    checked = dynamic(healthCheck={"path": "/health", "interval": "100ms", "timeout": "50ms"})
    (tmp_path / "conf.d/shop.yml").write_text(json.dumps(checked))
    static = {
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}, "traefik": {"address": f"127.0.0.1:{admin}"}},
        "api": {"insecure": True},
        "providers": {"file": {"directory": "conf.d"}},
    }
    (tmp_path / "traefik.yml").write_text(json.dumps(static))

    def is_down() -> bool:
        return "DOWN" in asked(admin, "/api/http/services/shop@file")[1]

    with serving(tmp_path, is_down, program("traefik"), "--configFile=traefik.yml") as pid:
        proxy, gaps = found(pid, "traefik")
    (view,) = proxy.peers
    assert (view.group, view.target, view.state, view.source) == ("shop@file", APP, PeerState.DOWN, "/api/http/services")
    assert view.reason == "its health check of /health fails"
    assert (proxy.config, proxy.admin, proxy.version[:2], gaps) == (f"{tmp_path}/traefik.yml", f"127.0.0.1:{admin}", "3.", [])
    (route,) = proxy.routes
    assert (route.listens, route.upstream) == ((f"127.0.0.1:{port}",), "shop@file")
    assert any("does not exist" in problem.message for problem in proxy.problems)
    (lost,) = proxy.unused_routes
    assert (lost.name, lost.locations, lost.source) == ("lost@file", ("= /lost",), "/api/http/routers")
    assert "absent@file" in lost.reason


@pytest.mark.parametrize("is_of_environment", [False, True], ids=["command-line", "environment"])
def test_routes_of_another_provider_come_from_its_api(tmp_path: Path, is_of_environment: bool) -> None:
    port, admin = free_port(), free_port()
    with answering(json.dumps(dynamic()).encode()) as source:  # like Docker, it is not a file
        given = {
            "entrypoints.web.address": f"127.0.0.1:{port}",
            "entrypoints.traefik.address": f"127.0.0.1:{admin}",
            "api.insecure": "true",
            "providers.http.endpoint": f"http://127.0.0.1:{source.server_port}/",
        }
        flags = () if is_of_environment else tuple(f"--{name}={value}" for name, value in given.items())
        named = {f"TRAEFIK_{name.upper().replace('.', '_')}": value for name, value in given.items()} if is_of_environment else {}

        def is_ready() -> bool:
            return "shop@http" in asked(admin, "/api/http/routers")[1]

        with serving(tmp_path, is_ready, program("traefik"), *flags, **named) as pid:
            proxy, gaps = found(pid, "traefik")
    (route,) = proxy.routes
    assert (route.server, route.upstream, route.peers[0].target) == ("shop.example", "shop@http", APP)
    assert [view.state for view in proxy.peers] == [PeerState.UNCHECKED]  # it says UP, and has never looked
    assert (proxy.config, gaps) == ("its environment" if is_of_environment else "its command line", [])
