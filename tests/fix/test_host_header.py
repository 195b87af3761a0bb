"""A route of a real nginx sends the client's Host again, to an application that knows only that name."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import msgspec
import pytest
from shop import NOW, Shop

from why502.diagnosis.case import Case
from why502.fix import journal, reversal, verify
from why502.fix.repair import verifier
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.host.local import LocalHost
from why502.model.logs import PathTraffic
from why502.model.snapshot import LiveSnapshot
from why502.model.target import Target
from why502.remedies.headers import set_headers

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


class Named(http.server.BaseHTTPRequestHandler):
    """Knows pages of one name, and nothing of any other."""

    def do_GET(self) -> None:
        is_known = self.headers.get("Host", "").partition(":")[0] == "shop.example"
        self.send_response(200 if is_known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def named() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Named)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("headers", ["", 'proxy_set_header X-Shop "a b";'])
def test_pages_that_were_served_and_are_not_found_show_that_it_helps(shop: Shop, named: int, headers: str) -> None:
    shop.old = (
        f"server {{ listen 127.0.0.1:{shop.port}; server_name shop.example; {headers}\n"
        f"    location / {{\n        proxy_pass http://127.0.0.1:{named};\n    }}\n}}\n"
    ).encode()
    shop.site.write_bytes(shop.old)
    shop.apply_reload()
    here = shop.snapshot()
    case = Case(here=here, target=Target(host="127.0.0.1", port=named))
    (route,) = case.routes
    assert route.at is not None and here.logs is not None
    change = set_headers(case, route, {"Host": "$host"})
    assert change is not None
    refused = PathTraffic(
        server="shop.example",
        request="GET /rates",
        at=route.at,
        statuses={"200": 5, "404": 9},
        refused_since=9,
        last_served=NOW,
    )
    shown = LiveSnapshot.of(msgspec.structs.replace(here, logs=msgspec.structs.replace(here.logs, paths=(refused,))))
    before = verify.ask(LocalHost(), verify.requests(shown, (route.at,)))
    assert [(asked.request.path, asked.how, asked.is_failed, asked.usual) for asked in before] == [
        ("/rates", "404", True, ("200",))
    ]
    entry = apply(shop.plan(change), shop.state, NOW, before, verifier(LocalHost()), Progress())
    assert (entry.phase, entry.is_proved) == ("kept", True)
    kept = shop.site.read_text()
    assert "proxy_set_header Host $host;" in kept and kept.count("X-Shop") == 2 * bool(headers)
    reversal.revert(shop.state, journal.entries(shop.state)[0], Progress())
    assert shop.site.read_bytes() == shop.old


def test_a_page_that_some_clients_never_found_is_no_failure(shop: Shop, named: int) -> None:
    shop.old = (
        f"server {{ listen 127.0.0.1:{shop.port}; server_name shop.example;\n"
        f"    location / {{ proxy_pass http://127.0.0.1:{named}; }}\n}}\n"
    ).encode()
    shop.site.write_bytes(shop.old)
    shop.apply_reload()
    here = shop.snapshot()
    (route,) = Case(here=here, target=Target(host="127.0.0.1", port=named)).routes
    assert route.at is not None and here.logs is not None
    mixed = PathTraffic(
        server="shop.example", request="GET /rates", at=route.at, statuses={"200": 5, "404": 9}, refused_since=4, last_served=NOW
    )
    shown = LiveSnapshot.of(msgspec.structs.replace(here, logs=msgspec.structs.replace(here.logs, paths=(mixed,))))
    (asked,) = verify.ask(LocalHost(), verify.requests(shown, (route.at,)))
    assert (asked.how, asked.is_failed, asked.usual) == ("404", False, ("200", "404"))


@pytest.mark.parametrize("inside", ["proxy_set_header Host other.example;", "include headers;"])
def test_a_host_that_the_location_sets_itself_is_left_alone(shop: Shop, named: int, inside: str) -> None:
    (shop.root / "headers").write_text("proxy_buffering off;\n")
    shop.site.write_text(
        f"server {{ listen 127.0.0.1:{shop.port}; location / {{ proxy_pass http://127.0.0.1:{named}; {inside} }} }}\n"
    )
    shop.apply_reload()
    case = Case(here=shop.snapshot(), target=Target(host="127.0.0.1", port=named))
    assert set_headers(case, case.routes[0], {"Host": "$host"}) is None
