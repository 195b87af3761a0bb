"""What a verification sends: few requests, those of a limited route one after the other, and slower ones after a rejection."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from shop import Shop

from why502.fix import verify
from why502.fix.verify import Asked, Wanted
from why502.host.base import Host
from why502.host.local import LocalHost
from why502.model.probe import Probe
from why502.probing.request import Request

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

TOGETHER_S = 0.2  # a request waits so long for another one that must not come


def load(shop: Shop, text: str) -> None:
    for name, port in (("WRONG", shop.wrong), ("RIGHT", shop.right), ("PORT", shop.port)):
        text = text.replace(name, str(port))
    shop.site.write_text(text)
    shop.apply_reload()


def sent(shop: Shop, *, after: int = 0) -> Counter[str]:
    """Return how often each path was requested, from nginx's own log."""
    lines = (shop.root / "access.log").read_text().splitlines()[after:]
    return Counter(line.split('"')[1].split()[1] for line in lines)


def logged(shop: Shop) -> int:
    return sum(sent(shop).values())


MANY = """upstream three { server 127.0.0.1:RIGHT; server 127.0.0.1:WRONG backup; server 127.0.0.2:WRONG backup; }
limit_conn_zone $server_name zone=some:1m;
server { listen 127.0.0.1:PORT; server_name shop.example;
    location / { proxy_pass http://127.0.0.1:WRONG; }
    location /group/ { proxy_pass http://three; }
    location /limited/ { limit_conn some 9; proxy_pass http://three; }
    location /alone/ { proxy_pass http://127.0.0.1:RIGHT; } }"""


def test_few_requests_are_sent_whatever_clients_sent(shop: Shop) -> None:
    load(shop, MANY)
    for number in range(30):
        assert shop.status(f"/page-{'abcdefghij'[number % 10]}{'xyz'[number // 10]}") == 502
    snapshot, before = shop.snapshot(), logged(shop)
    verify.ask(LocalHost(), tuple(verify.requests(snapshot, ())))
    found = sent(shop, after=before)
    pages = [count for path, count in found.items() if path.startswith("/page-")]
    assert pages == [1] * verify.FAILED
    assert found["/limited/"] == 1
    assert 1 < found["/group/"] <= 6
    assert found["/alone/"] == 1


PLACE = "location /{}/ {{ limit_conn some 9; proxy_pass http://127.0.0.1:RIGHT; }}"
LIMITED = f"""limit_conn_zone $server_name zone=some:1m;
server {{ listen 127.0.0.1:PORT; server_name shop.example;
    {" ".join(map(PLACE.format, "abcde"))}
    location / {{ proxy_pass http://127.0.0.1:RIGHT; }} }}"""


def test_requests_to_limited_routes_are_sent_one_after_the_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    load(shop, LIMITED)
    real, lock, other = verify.probe, threading.Lock(), threading.Event()
    under_way: set[str] = set()
    together: list[frozenset[str]] = []

    def watched(host: Host, request: Request) -> Probe:
        if request.path == "/":
            return real(host, request)
        with lock:
            under_way.add(request.path)
            together.append(frozenset(under_way))
            if len(under_way) > 1:
                other.set()
        other.wait(TOGETHER_S)
        found = real(host, request)
        with lock:
            under_way.discard(request.path)
        return found

    monkeypatch.setattr(verify, "probe", watched)
    asked = verify.ask(LocalHost(), tuple(verify.requests(shop.snapshot(), ())))
    assert {one.how for one in asked} == {"200"}
    assert sorted(map(len, together)) == [1] * 5


SLOW = """limit_req_zone $server_name zone=one:1m rate=1r/m;
server { listen 127.0.0.1:PORT; server_name shop.example;
    location / { limit_req zone=one; proxy_pass http://127.0.0.1:RIGHT; } }"""


def test_a_rejected_request_is_repeated_after_growing_pauses_and_then_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(shop, SLOW)
    assert shop.status() == 200  # the only one in this minute
    (wanted,) = verify.requests(shop.snapshot(), ())
    slept: list[float] = []
    monkeypatch.setattr(verify.time, "sleep", slept.append)
    before = logged(shop)
    (asked,) = verify.ask(LocalHost(), (wanted,))
    assert (type(wanted), type(asked), asked.is_limited, asked.is_failed) == (Wanted, Asked, True, False)
    assert sum(sent(shop, after=before).values()) == 1 + len(verify.PAUSES_S)
    assert slept == list(verify.PAUSES_S) == sorted(slept)
    assert min(slept) > 1  # `rate` counts in requests a second or slower
