"""The ping of the dead man's switch: only while everything makes progress."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from notify_scenes import answer, serving

from why502.watch.notify.heartbeat import Heartbeat, HeartbeatSettings


def test_it_pings_only_while_every_thread_makes_progress() -> None:
    late: list[str] = []
    notes: list[str] = []
    with serving() as server:
        heartbeat = Heartbeat(HeartbeatSettings(url=f"{server.url}/ping"), lambda: tuple(late), notes.append)
        assert heartbeat.ping()
        late.append("reader of /var/log/nginx/access.log")
        assert not heartbeat.ping()
        assert not heartbeat.ping()
        late.clear()
        assert heartbeat.ping()
        assert [(one.method, one.path) for one in server.received] == [("GET", "/ping")] * 2
    assert notes == ["heartbeat: not pinged: no progress in reader of /var/log/nginx/access.log", "heartbeat: succeeds again"]


def test_a_ping_that_fails_is_noted_once_without_the_secret(tmp_path: Path) -> None:
    notes: list[str] = []
    with serving(answer(404, b"no such ping: topsecret-word")) as server:
        (tmp_path / "url").write_text(f"{server.url}/topsecret-word")
        heartbeat = Heartbeat(HeartbeatSettings(url_file=str(tmp_path / "url")), tuple, notes.append)
        assert not heartbeat.ping()
        assert not heartbeat.ping()
    (note,) = notes
    assert "answered 404" in note
    assert "topsecret" not in note


def test_it_ends_when_told() -> None:
    stop = threading.Event()
    with serving() as server:
        heartbeat = Heartbeat(HeartbeatSettings(url=server.url), tuple)
        thread = threading.Thread(target=heartbeat.run, args=(stop,))
        thread.start()
        server.wait_for(len)
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "values", [{}, {"url": "http://x", "url_file": "/x"}, {"url": "x"}, {"url": "http://x", "interval_s": 1}]
)
def test_its_settings_are_checked(values: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, HeartbeatSettings)
