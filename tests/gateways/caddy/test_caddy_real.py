"""A real Caddy: found, asked about its servers, and its configuration tested by its own program."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest
from free_ports import free_port
from gateways.running_fronts import asked, found, program, serving

from why502.gateways.caddy.testing import problems
from why502.lab.isolation import can_isolate
from why502.model.proxy import PeerState
from why502.model.target import Target

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]


def site(admin: int, port: int, *servers: str) -> str:
    return f"""\
{{
	admin localhost:{admin}
	auto_https off
}}
http://shop.example:{port} {{
	reverse_proxy {" ".join(servers)} {{
		fail_duration 60s
	}}
}}
"""


def test_its_own_view_and_a_configuration_that_no_file_has(tmp_path: Path) -> None:
    admin, port = free_port(), free_port()
    (tmp_path / "Caddyfile").write_text(site(admin, port, "127.0.0.1:1", "{$APP}"))
    argv = (program("caddy"), "run", "--config", "Caddyfile")
    with serving(tmp_path, lambda: asked(admin, "/config/", f"localhost:{admin}")[0] == 200, *argv, APP="127.0.0.1:2") as pid:
        assert {asked(port)[0] for _ in range(4)} <= {502, 503}
        proxy, gaps = found(pid, "caddy")
        first, second = sorted(proxy.peers, key=lambda view: view.name)
        assert (first.target, second.target) == (Target(host="127.0.0.1", port=1), Target(host="127.0.0.1", port=2))
        assert first.state is PeerState.EJECTED and first.failures and "failed within 60 s" in first.reason
        assert (proxy.admin, proxy.not_in_files, gaps) == (f"localhost:{admin}", (), [])
        assert proxy.routes[0].at is not None and proxy.routes[0].at.file == str(tmp_path / "Caddyfile")
        assert [str(peer.target) for peer in proxy.routes[0].peers] == ["127.0.0.1:1", "127.0.0.1:2"]
        other = json.loads(asked(admin, "/config/", f"localhost:{admin}")[1])
        text = json.dumps(other).replace("127.0.0.1:2", "127.0.0.1:3")
        assert asked(admin, "/load", f"localhost:{admin}", "POST", text)[0] == 200
        proxy, _ = found(pid, "caddy")
        assert proxy.not_in_files == (Target(host="127.0.0.1", port=3),)
        assert len(proxy.routes) == 2


def test_one_that_is_configured_over_its_socket_only(tmp_path: Path) -> None:
    port, path = free_port(), tmp_path / "s"
    tree = {
        "admin": {"listen": f"unix/{path}"},
        "apps": {
            "http": {
                "servers": {
                    "one": {
                        "listen": [f"127.0.0.1:{port}"],
                        "automatic_https": {"disable": True},
                        "routes": [
                            {
                                "match": [{"host": ["shop.example"], "path": ["/api/*"]}],
                                "handle": [
                                    {
                                        "handler": "reverse_proxy",
                                        "upstreams": [{"dial": "127.0.0.1:1"}],
                                        "health_checks": {"active": {"uri": "/", "interval": "100ms"}},
                                        "transport": {"protocol": "http", "response_header_timeout": 2_000_000_000},
                                    }
                                ],
                            }
                        ],
                    }
                }
            }
        },
    }
    (tmp_path / "start.json").write_text(json.dumps({"admin": {"listen": f"unix/{path}"}}))
    argv = (program("caddy"), "run")
    with serving(tmp_path, path.exists, *argv, CADDY_ADMIN=f"unix/{path}") as pid:
        body = json.dumps(tree)
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(path))
            head = f"POST /load HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            stream.sendall(f"{head}Connection: close\r\n\r\n{body}".encode())
            assert b" 200 " in stream.recv(4096)
        proxy, gaps = found(pid, "caddy")
    (route,) = proxy.routes
    assert (route.server_names, route.location, route.listens, route.read_timeout_s) == (
        ("shop.example",),
        "/api/",
        (f"127.0.0.1:{port}",),
        2.0,
    )
    assert [view.state for view in proxy.peers] in ([PeerState.UNKNOWN], [PeerState.DOWN], [PeerState.UP])
    assert (proxy.admin, gaps) == (f"unix:{path}", [])


@pytest.mark.skipif(not can_isolate(), reason="needs root and its own namespaces (unshare)")
def test_one_in_namespaces_of_its_own_is_asked_there(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (tmp_path / "Caddyfile").write_text("http://shop.example {\n\treverse_proxy 127.0.0.1:1\n}\n")
    ready = tmp_path / "ready"
    script = f"""
ip link set lo up
mount --bind {tmp_path}/etc /etc
mkdir /etc/caddy
mv {tmp_path}/Caddyfile /etc/caddy
touch {ready}
exec {program("caddy")} run --config /etc/caddy/Caddyfile
"""

    def is_ready() -> bool:
        return ready.exists() and "serving initial configuration" in (tmp_path / "output.log").read_text()

    with serving(tmp_path, is_ready, "unshare", "--net", "--mount", "sh", "-ec", script) as pid:
        proxy, gaps = found(pid, "caddy")
    assert proxy.root == f"/proc/{pid}/root" and proxy.network
    assert [file.path for file in proxy.files] == ["/etc/caddy/Caddyfile"]
    assert [(view.name, view.state) for view in proxy.peers] == [("127.0.0.1:1", PeerState.UNCHECKED)]
    assert (proxy.admin, gaps) == ("localhost:2019", [])


def test_an_interface_that_is_switched_off_is_a_gap(tmp_path: Path) -> None:
    port = free_port()
    text = f"{{\n\tadmin off\n}}\nhttp://:{port} {{\n\treverse_proxy 127.0.0.1:1\n}}\n"
    (tmp_path / "Caddyfile").write_text(text)
    with serving(tmp_path, lambda: asked(port)[0] != 0, program("caddy"), "run") as pid:
        proxy, gaps = found(pid, "caddy")
    assert proxy.peers == () and proxy.routes
    assert [gap.reason for gap in gaps] == [f"caddy process {pid}: its admin interface is switched off by {tmp_path}/Caddyfile:2"]


def test_its_own_test_names_the_line(tmp_path: Path) -> None:
    def tested(text: str) -> list[tuple[str, int]]:
        (tmp_path / "Caddyfile").write_text(text)
        argv = (program("caddy"), "validate", "--config", str(tmp_path / "Caddyfile"))
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})
        return [(problem.message, problem.at.line if problem.at else 0) for problem in problems(done.stderr) if done.returncode]

    assert tested(":1 {\n\treverse_proxy 127.0.0.1:1\n}\n") == []
    assert tested(":1 {\n\treverse_proxyy 127.0.0.1:1\n}\n") == [("unrecognized directive: reverse_proxyy", 2)]
    ((message, line),) = tested(":1 {\n\treverse_proxy 127.0.0.1:1 {\n\t\ttransport htttp\n\t}\n}\n")
    assert line == 3 and "module not registered" in message
