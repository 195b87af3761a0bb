"""Running gateways are asked about themselves; one that does not answer costs a gap, never the gateway."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from why502.collectors import admin as source
from why502.collectors.base import CollectOptions
from why502.gateways.admin import AdminView, Asking, Door
from why502.host.local import LocalHost
from why502.model.errors import HostError
from why502.model.proxy import PeerState, PeerView, Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

PEER = PeerView(name="s1", target=Target(host="127.0.0.1", port=3001), state=PeerState.UP, source="show stat")
REFUSING = Door(target=Target(host="127.0.0.1", port=1), named_by="its default")


class Product:
    """A gateway's admin interface that answers at one of its doors."""

    def __init__(self, *doors: Door, answers: Door | None = None) -> None:
        self.found, self.answers = doors, answers

    def doors(self, *_: object) -> Iterable[Door]:
        if not self.found:
            raise HostError("its admin interface is switched off", "switch it on")
        return self.found

    def look(self, ask: Asking, proxy: Proxy) -> AdminView:
        if ask.door is not self.answers:
            ask.get("/")
        return AdminView(peers=(PEER,), version="2.8")


@pytest.fixture
def product(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    chosen = SimpleNamespace(one=Product())
    monkeypatch.setattr(source, "admin", lambda kind: chosen.one if kind == "haproxy" else None)
    return chosen


def look(*proxies: Proxy, ask: CollectOptions | None = None) -> tuple[tuple[Proxy, ...] | None, list[str]]:
    known = Snapshot(taken_at=datetime.now(UTC), proxies=proxies)
    found = source.collect(LocalHost(), known, ask or CollectOptions())
    return found.value, [f"{gap.reason}; {gap.hint}" for gap in found.gaps]


def test_the_first_door_that_answers_gives_the_view(product: SimpleNamespace) -> None:
    door = Door(target=Target.unix("/run/s"), named_by="haproxy.cfg:3")
    product.one = Product(REFUSING, door, answers=door)
    nginx, haproxy = Proxy(kind="nginx", pid=os.getpid()), Proxy(kind="haproxy", pid=os.getpid())
    value, gaps = look(nginx, haproxy)
    assert value is not None and value[0] is nginx and gaps == []
    assert (value[1].peers, value[1].admin, value[1].version) == ((PEER,), "unix:/run/s", "2.8")


def test_silence_is_a_gap_with_a_hint(product: SimpleNamespace) -> None:
    haproxy = Proxy(kind="haproxy", pid=os.getpid())
    value, gaps = look(haproxy)
    assert value == (haproxy,)
    assert gaps == [f"haproxy process {os.getpid()}: its admin interface is switched off; switch it on"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else answers there
        target = Target(host="127.0.0.1", port=taken.getsockname()[1])
        product.one = Product(Door(target=target, named_by="its default"))
        value, gaps = look(haproxy)
    assert value == (haproxy,)
    assert gaps[0].startswith(f"haproxy process {os.getpid()}: its admin interface on {target} (its default): {target}: Conn")


def test_nothing_is_asked_offline_or_of_a_stopped_gateway(product: SimpleNamespace) -> None:
    product.one = Product(REFUSING, answers=REFUSING)
    assert look(Proxy(kind="haproxy", pid=os.getpid()), ask=CollectOptions(offline=True)) == (None, [])
    assert look(Proxy(kind="haproxy")) == (None, [])
