"""A repair is complete, or reports which part it repaired. It is judged fairly, and failures resolved meanwhile are left
alone.
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from asking import Answer, ask
from shop import NOW, Shop, application
from shop import shop as another_shop

from why502.cli.env import Env
from why502.diagnosis.case import Case
from why502.fix import verify
from why502.fix.plan import NothingToDo
from why502.fix.repair import repair, verifier
from why502.fix.reversal import Progress
from why502.fix.transaction import apply
from why502.host.local import LocalHost
from why502.model.errors import Why502Error
from why502.model.remedy import Run
from why502.model.target import Target
from why502.remedies.changes import set_peer_addresses

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


def site(shop: Shop, *servers: str) -> None:
    """Install another configuration of the shop, and load it."""
    text = "\n".join(servers).replace("WRONG", str(shop.wrong)).replace("RIGHT", str(shop.right)).replace("PORT", str(shop.port))
    shop.old = text.encode()
    shop.site.write_bytes(shop.old)
    shop.apply_reload()


def fix(shop: Shop, *argv: str) -> Answer:
    own = ("--undo",) if "--undo" in argv else ("--config", str(shop.config), "--log", str(shop.root / "error.log"), *argv)
    return ask("fix", *own, "--state", str(shop.state))


SEVERAL = """server { listen 127.0.0.1:PORT; server_name shop.example;
    location / { proxy_pass https://127.0.0.1:RIGHT; }
    location /api/ { proxy_pass https://127.0.0.1:RIGHT; }
    location /static/ { proxy_pass https://127.0.0.1:RIGHT/; }
    location /well/ { proxy_pass http://127.0.0.1:RIGHT; } }"""


def test_the_same_fault_in_several_routes_is_one_transaction(shop: Shop) -> None:
    site(shop, SEVERAL)
    for path in ("/", "/api/x", "/static/x"):
        assert shop.status(path) == 502
    done = fix(shop, "--apply", "--yes", "--format", "json")
    assert done.status == 0, done
    answer = json.loads(done.out)
    assert (answer["cause"], answer["outcome"], len(answer["steps"])) == ("wrong-protocol", "kept", 5)
    assert [shop.status(path) for path in ("/", "/api/x", "/static/x", "/well/")] == [200] * 4
    assert fix(shop, "--undo").status == 0
    assert shop.site.read_bytes() == shop.old


WRONG_PORT = """server { listen 127.0.0.1:PORT; server_name shop.example;
    location / { proxy_pass http://127.0.0.1:WRONG; }
    location /api/ { proxy_pass http://127.0.0.1:WRONG/api/; }
    location /set/ { set $app http://127.0.0.1:WRONG; proxy_pass $app; }
    location /well/ { proxy_pass http://127.0.0.1:RIGHT; } }
    server { listen 127.0.0.1:PORT; server_name other.example; location / { proxy_pass http://127.0.0.1:WRONG; } }"""


def test_a_wrong_address_is_corrected_in_all_routes(shop: Shop) -> None:
    site(shop, WRONG_PORT)
    wrong, right = (Target(host="127.0.0.1", port=port) for port in (shop.wrong, shop.right))
    changes = set_peer_addresses(Case(here=shop.snapshot(), target=wrong), right)
    assert len(changes) == 4
    assert shop.apply(shop.plan(*changes)) == "kept"
    assert str(shop.wrong) not in shop.site.read_text()
    assert [shop.status(path) for path in ("/", "/api/x", "/set/x", "/well/")] == [200] * 4


def test_several_targets_with_the_same_fault_are_one_transaction(shop: Shop) -> None:
    with application() as second:
        site(
            shop,
            "server { listen 127.0.0.1:PORT; server_name shop.example; location /a/ { proxy_pass https://127.0.0.1:RIGHT; }",
            (
                f"location /b/ {{ proxy_pass https://127.0.0.1:{second}; }} location /well/ {{ proxy_pass http://127.0.0.1"
                f":RIGHT; }} }}"
            ),
        )
        assert (shop.status("/a/"), shop.status("/b/")) == (502, 502)
        done = fix(shop, "--apply", "--yes")
        assert done.status == 0, done
        assert (shop.status("/a/"), shop.status("/b/")) == (200, 200)


def test_a_part_is_called_a_part(shop: Shop) -> None:
    site(shop, SEVERAL)
    places = [route.at for proxy in shop.snapshot().proxies or () for route in proxy.routes if route.at]
    for path in ("/", "/api/x"):
        shop.status(path)
    before = verify.ask(LocalHost(), tuple(verify.requests(shop.snapshot(), places)))
    plan = shop.plan(shop.change("https://127.0.0.1", "http://127.0.0.1"))  # the first one only
    entry = apply(plan, shop.state, NOW, before, verifier(Env().host()), Progress())
    assert entry.phase == "kept"
    assert any("/api/" in text for text in entry.failing)


LIMITED = """limit_req_zone $server_name zone=few:1m rate=1r/s;
server { listen 127.0.0.1:PORT; server_name shop.example; limit_req zone=few;
    location / { proxy_pass http://127.0.0.1:WRONG; }
    location /well/ { proxy_pass http://127.0.0.1:RIGHT; } }"""


def test_a_rejection_by_the_proxys_own_limit_is_not_a_failure(shop: Shop) -> None:
    site(shop, LIMITED)
    assert shop.status() == 502
    before = verify.ask(LocalHost(), tuple(verify.requests(shop.snapshot(), ())))
    assert {asked.how for asked in before} == {"502", "200"}
    entry = apply(shop.plan(), shop.state, NOW, before, verifier(Env().host()), Progress())
    assert (entry.phase, entry.failing) == ("kept", ())


FULL = """limit_conn_zone $server_name zone=one:1m;
server { listen 127.0.0.1:PORT; server_name shop.example; limit_conn one 1;
    location / { proxy_pass http://127.0.0.1:WRONG; }
    location /held/ { proxy_pass http://127.0.0.1:HELD; } }"""


def test_a_connection_that_the_proxys_own_limit_refuses_proves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "PAUSES_S", (0.05,))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        site(shop, FULL.replace("HELD", str(silent.getsockname()[1])))
        with socket.create_connection(("127.0.0.1", shop.port)) as client:
            client.sendall(b"GET /held/ HTTP/1.0\r\nHost: shop.example\r\n\r\n")
            held, _ = silent.accept()  # from here on, nginx counts it
            with held:
                before = verify.ask(LocalHost(), tuple(verify.requests(shop.snapshot(), ())))
                assert {(asked.how, asked.is_limited) for asked in before} == {("503", True)}
                entry = apply(shop.plan(), shop.state, NOW, before, verifier(Env().host()), Progress())
    assert (entry.phase, entry.is_proved, entry.failing) == ("kept", False, ())
    assert entry.unverified == "the proxy's own limits refuse our requests"


PROTECTED = """server { listen 127.0.0.1:PORT; server_name shop.example; auth_basic shop; auth_basic_user_file USERS;
    location / { proxy_pass http://127.0.0.1:WRONG; } }"""


def test_a_login_that_we_do_not_have_proves_nothing(shop: Shop) -> None:
    users = shop.root / "users"
    users.write_text("")
    site(shop, PROTECTED.replace("USERS", str(users)))
    before = verify.ask(LocalHost(), tuple(verify.requests(shop.snapshot(), ())))
    assert {(asked.how, asked.is_failed) for asked in before} == {("401", False)}
    entry = apply(shop.plan(), shop.state, NOW, before, verifier(Env().host()), Progress())
    assert (entry.phase, entry.is_proved, entry.failing) == ("kept", False, ())
    assert entry.unverified == "no request failed before, and none fails now"


def test_a_kept_error_is_not_taken_for_the_backends(shop: Shop) -> None:
    cache = f"proxy_cache_path {shop.root}/cache keys_zone=shop:1m;"
    site(
        shop, cache,
        "server { listen 127.0.0.1:PORT; server_name shop.example; proxy_cache shop; proxy_cache_valid any 10m;",
        "location / { proxy_pass http://127.0.0.1:WRONG; } location /well/ { proxy_pass http://127.0.0.1:RIGHT; } }",
    )  # fmt: skip
    assert shop.status() == 502
    before = verify.ask(LocalHost(), tuple(verify.requests(shop.snapshot(), ())))
    entry = apply(shop.plan(), shop.state, NOW, before, verifier(Env().host()), Progress())
    assert entry.phase == "kept"


@contextmanager
def listening(port: int) -> Iterator[None]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("runs", [(), (Run(argv=("systemctl", "restart", "app.service")),)])
def test_a_failure_resolved_meanwhile_is_left_alone(shop: Shop, runs: tuple[Run, ...]) -> None:
    assert shop.status() == 502
    snapshot = shop.snapshot()
    plan = msgspec.structs.replace(shop.plan(), is_ongoing=not runs)
    if runs:
        plan = msgspec.structs.replace(plan, runs=runs, edits=())
    with listening(shop.wrong), pytest.raises(NothingToDo, match="recovered meanwhile"):
        repair(plan, snapshot, LocalHost(), shop.state, NOW, Progress(), look_again=shop.snapshot)
    assert shop.site.read_bytes() == shop.old


def test_an_ongoing_failure_is_repaired(shop: Shop) -> None:
    assert shop.status() == 502
    plan = msgspec.structs.replace(shop.plan(), is_ongoing=True)
    assert repair(plan, shop.snapshot(), LocalHost(), shop.state, NOW, Progress(), look_again=shop.snapshot).phase == "kept"


def test_a_plan_whose_program_is_not_there_does_nothing(shop: Shop) -> None:
    plan = msgspec.structs.replace(shop.plan(), runs=(Run(argv=("systemctl", "--version")), Run(argv=("/nonexistent",))))
    said: list[str] = []
    with pytest.raises(Why502Error, match="/nonexistent: no such program"):
        shop.apply(plan, progress=Progress(say=said.append))
    assert (said, list(shop.state.iterdir())) == ([], [])


def test_another_master_with_the_same_fault_is_reported(shop: Shop) -> None:
    """One transaction changes one proxy. If another proxy is also wrong, the report names it and the next run repairs it."""
    with another_shop() as other:
        route = (
            "server {{ listen 127.0.0.1:{port}; server_name {name}; location / {{ proxy_pass https://127.0.0.1:{right}; "
            "}} location /well/ {{ proxy_pass http://127.0.0.1:{right}; }} }}"
        )
        for one, name in ((shop, "shop.example"), (other, "other.example")):
            site(one, route.format(port=one.port, right=shop.right, name=name))
            assert one.status() == 502
        argv = [word for one in (shop, other) for word in ("--config", str(one.config), "--log", str(one.root / "error.log"))]
        done = ask("fix", *argv, "--apply", "--yes", "--state", str(shop.state))
        assert (done.status, sorted((shop.status(), other.status()))) == (1, [200, 502]), done
        assert "Partly repaired" in done.out
        again = ask("fix", *argv, "--apply", "--yes", "--state", str(shop.state))
        assert (again.status, shop.status(), other.status()) == (0, 200, 200), again
