"""A route of a real nginx is made to forward the handshakes of WebSockets, and loses no other header."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from shop import NOW, Shop

from why502.diagnosis.case import Case
from why502.fix import journal, reversal
from why502.fix.repair import repair
from why502.fix.reversal import Progress
from why502.host.local import LocalHost
from why502.model.target import Target
from why502.remedies.upgrades import forward_upgrade

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Sockets(http.server.BaseHTTPRequestHandler):
    """Opens a WebSocket for a handshake, and answers anything else with 426; both with the Host and X-Shop that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_handshake = "upgrade" in self.headers.get("Connection", "").lower() and self.headers.get("Upgrade") == "websocket"
        self.send_response(101 if is_handshake else 426)
        self.send_header("X-Seen", f"{self.headers.get('Host')} {self.headers.get('X-Shop')}")
        if is_handshake:
            self.send_header("Connection", "upgrade")
            self.send_header("Upgrade", "websocket")
        else:
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True


@contextmanager
def served(handler: type[Sockets]) -> Iterator[int]:
    """Serve an application; yield its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def sockets() -> Iterator[int]:
    with served(Sockets) as port:
        yield port


def shaken(shop: Shop, path: str) -> tuple[str, str]:
    """Return the status of a handshake, and what the application saw of the headers."""
    with socket.create_connection(("127.0.0.1", shop.port), timeout=20) as client:
        client.sendall(HANDSHAKE.format(path=path).encode())
        told = b""
        while b"\r\n\r\n" not in told and (some := client.recv(4096)):
            told += some
    lines = told.decode().split("\r\n")
    return lines[0].split()[1], next(line for line in lines if line.startswith("X-Seen")).partition(": ")[2]


@pytest.mark.parametrize(
    ("around", "inside", "seen"),
    [
        ("", "", "{backend} None"),
        ('proxy_set_header Host $host; proxy_set_header X-Shop "a b";', "", "shop.example a b"),
        ("", 'proxy_http_version 1.1; proxy_set_header X-Shop "a";', "{backend} a"),
        ('proxy_set_header X-Shop lost; proxy_set_header Connection "";', "", "{backend} lost"),
    ],
)
def test_handshakes_are_forwarded(shop: Shop, sockets: int, around: str, inside: str, seen: str) -> None:
    backend = f"127.0.0.1:{sockets}"
    text = (
        f"server {{ listen 127.0.0.1:{shop.port}; server_name shop.example; {around}\n"
        f"    location /live/ {{\n        proxy_pass http://{backend};\n        {inside}\n    }}\n}}\n"
    )
    shop.old = text.encode()
    shop.site.write_bytes(shop.old)
    shop.apply_reload()
    assert shaken(shop, "/live/x")[0] == "426"
    case = Case(here=shop.snapshot(), target=Target(host="127.0.0.1", port=sockets))
    change = forward_upgrade(case, case.routes[0])
    assert change is not None
    assert shop.apply(shop.plan(change)) == "kept"
    assert shaken(shop, "/live/x") == ("101", seen.format(backend=backend))
    (entry,) = journal.entries(shop.state)
    reversal.revert(shop.state, entry, Progress())
    assert shop.site.read_bytes() == shop.old


@pytest.mark.parametrize("inside", ['proxy_set_header Connection "";', "proxy_set_header Upgrade h2c;", "include headers;"])
def test_headers_that_the_location_sets_otherwise_are_left_alone(shop: Shop, sockets: int, inside: str) -> None:
    (shop.root / "headers").write_text("proxy_buffering off;\n")
    shop.site.write_text(
        f"server {{ listen 127.0.0.1:{shop.port}; location /live/ {{ proxy_pass http://127.0.0.1:{sockets}; {inside} }} }}\n"
    )
    shop.apply_reload()
    case = Case(here=shop.snapshot(), target=Target(host="127.0.0.1", port=sockets))
    assert forward_upgrade(case, case.routes[0]) is None


class Doors(Sockets):
    """Opens a WebSocket only for a client that is logged in."""

    def do_GET(self) -> None:
        self.send_response(403 if self.headers.get("Upgrade") == "websocket" else 426)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Walls(Sockets):
    """Opens none, and answers each request as if it were no handshake."""

    def do_GET(self) -> None:
        self.send_response(426)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize(
    ("backend", "phase", "is_proved", "told"),
    [
        (Sockets, "kept", True, "/live/ answered 426 before and 101 now"),
        (Doors, "kept", False, "/live/ is answered 403, which may be for want of a client's login"),
        (Walls, "reverted", False, "/live/ still fails (426)"),
    ],
)
def test_a_handshake_shows_whether_it_helped(shop: Shop, backend: type[Sockets], phase: str, is_proved: bool, told: str) -> None:
    with served(backend) as port:
        shop.old = (
            f"server {{ listen 127.0.0.1:{shop.port}; server_name shop.example;\n"
            f"    location /live/ {{\n        proxy_pass http://127.0.0.1:{port};\n    }}\n}}\n"
        ).encode()
        shop.site.write_bytes(shop.old)
        shop.apply_reload()
        snapshot = shop.snapshot()
        case = Case(here=snapshot, target=Target(host="127.0.0.1", port=port))
        change = forward_upgrade(case, case.routes[0])
        assert change is not None
        plan = msgspec.structs.replace(shop.plan(change), cause="websocket-upgrade-missing", at=case.routes[0].at)
        said: list[str] = []
        entry = repair(plan, snapshot, LocalHost(), shop.state, NOW, Progress(say=said.append))
        assert (str(entry.phase), entry.is_proved) == (phase, is_proved)
        assert any(told in text for text in said), said
        assert (shop.site.read_bytes() == shop.old) == (phase == "reverted")
