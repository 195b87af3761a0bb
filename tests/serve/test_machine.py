"""The live diagnosis: only as root and with the token, one at a time, and ended in time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from recorded_site import NOW, Open, fault
from test_security import TOKEN, entered

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.serve.machine import Machine, hindrance
from why502.serve.settings import Settings
from why502.watch.diagnosing import Overdue
from why502.watch.diagnosis_process import Looked, Order

ORIGIN = {"origin": "http://127.0.0.1:8502"}


def looked() -> Looked:
    path = fault("wrong-port")
    return Looked(diagnosis=diagnose(load(path.read_bytes(), path.name)))


def test_it_needs_root_and_the_token() -> None:
    settings = Settings(store=Path("x"))
    assert "run as root" in hindrance(settings, 1000) and "--token-file" in hindrance(settings, 0)
    assert hindrance(Settings(store=Path("x"), token=TOKEN), 0) == ""


def test_without_them_nothing_runs_and_the_page_says_why(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "diagnose", lambda *_, **__: pytest.fail("it ran"))
    client = opened()
    assert "needs a token" in client.get("/machine").text and "<form" not in client.get("/machine").text
    assert client.post("/machine", headers=ORIGIN).status_code == 403
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert client.post("/machine", headers=ORIGIN).status_code == 403
    guarded = opened(token=TOKEN)
    assert guarded.post("/machine", headers=ORIGIN).status_code == 401
    assert entered(guarded).post("/machine", headers={"origin": "https://evil.example"}).status_code == 403
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert guarded.post("/machine", headers=ORIGIN).status_code == 403


def test_the_result_is_shown_until_the_next_one(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    client = entered(opened(token=TOKEN))
    orders: list[Order] = []

    def run(order: Order) -> Looked:
        orders.append(order)
        return looked()

    client.app.state.serving.machine._run = run  # type: ignore[attr-defined]
    assert "Diagnose now" in client.get("/machine").text
    for form, is_probing in (({}, True), ({"probes": "none"}, False)):
        assert client.post("/machine", data=form, headers=ORIGIN).headers["location"] == "/machine"
        assert orders[-1].is_probing is is_probing
    text = client.get("/machine").text
    assert "PROBLEM" in text and "wrong-port" in text and "Diagnose it again" in text

    def hang(_: Order) -> Looked:
        raise Overdue("the diagnosis took longer than 30 s")

    client.app.state.serving.machine._run = hang  # type: ignore[attr-defined]
    client.post("/machine", headers=ORIGIN)
    assert "took longer than 30 s" in client.get("/machine").text


def test_one_is_made_at_a_time(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def run(_: Order) -> Looked:
        begun.set()
        assert go_on.wait(30)
        return looked()

    settings = Settings(store=tmp_path / "x", token=TOKEN, watch_settings=str(tmp_path / "watch.toml"))
    (tmp_path / "watch.toml").touch()
    machine = Machine(settings, lambda: NOW, run)
    first = threading.Thread(target=machine.diagnose, kwargs={"is_probing": True})
    first.start()
    assert begun.wait(30) and machine.is_busy
    assert machine.diagnose(is_probing=True) is False
    go_on.set()
    first.join(30)
    assert machine.newest is not None and machine.newest.diagnosis is not None and not machine.is_busy
    (tmp_path / "watch.toml").write_text("x")
    assert machine.diagnose(is_probing=True) and "watch.toml" in machine.newest.reason
