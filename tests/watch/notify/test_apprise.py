"""Every other service through Apprise, here its own JSON and form services."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from notify_scenes import HOSTILE, answer, hostile, notice, serving

from why502.watch.notify.apprise.receiver import Apprise
from why502.watch.notify.apprise.settings import Settings
from why502.watch.notify.base import Undelivered

pytestmark = pytest.mark.real


def sender(directory: Path, url: str, timeout_s: float = 30.0) -> Apprise:
    path = directory / "url"
    path.write_text(url)
    return Apprise(Settings(name="other", url_file=str(path), timeout_s=timeout_s))


def test_a_message_is_sent(tmp_path: Path) -> None:
    with serving() as server:
        assert sender(tmp_path, server.url.replace("http", "json", 1)).send(notice()) == ""
        (received,) = server.received
        assert received.json["title"] == "PAGE web1: 502 from shop.example/, wrong-port"
        assert "The gateway's own test accepts a copy" in received.json["message"]


def test_what_fails_is_said_without_the_secret(tmp_path: Path) -> None:
    with serving(answer(500)) as server:
        place = server.url.removeprefix("http://")
        with pytest.raises(Undelivered) as caught:
            sender(tmp_path, f"json://ops:topsecret-word@{place}/pathsecret-word").send(notice())
        assert caught.value.reason.startswith("apprise: ")
        assert "secret-word" not in caught.value.reason
        assert not caught.value.is_final
    with pytest.raises(Undelivered, match="apprise: Apprise does not recognise the URL"):
        sender(tmp_path, "nothing-known://topsecret").send(notice())


def test_a_service_that_hangs_costs_no_more_than_the_time_limit(tmp_path: Path) -> None:
    with serving() as server:
        server.answers = [server.drip]
        started_s = time.monotonic()
        with pytest.raises(Undelivered, match="apprise: not sent within 3 s"):
            sender(tmp_path, server.url.replace("http", "json", 1), 3.0).send(notice())
        assert time.monotonic() - started_s < 8


def test_text_of_strangers_is_text(tmp_path: Path) -> None:
    with serving() as server:
        one = sender(tmp_path, server.url.replace("http", "json", 1))
        for text in (HOSTILE[0], HOSTILE[5]):
            one.send(notice(hostile(text)))
        for received in server.received:
            words = received.json["title"] + received.json["message"]
            assert not any(mention in words for mention in ("<!", "<@U", "@channel", "@here", "@everyone", "\x1b", "\x00"))
