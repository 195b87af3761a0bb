"""docs/notifications.md: its settings are valid, and its code does what it says."""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from notify_scenes import AT, incident, notice, serving

from why502.watch.message import plain, text
from why502.watch.notify.base import Field
from why502.watch.notify.heartbeat import HeartbeatSettings
from why502.watch.notify.settings import AnyReceiver
from why502.watch.notify.silence import Silence
from why502.watch.notify.webhook.receiver import Body, Webhook
from why502.watch.notify.webhook.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "notifications.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def test_every_example_of_settings_is_valid() -> None:
    kinds = set()
    for block in blocks("toml"):
        tree = tomllib.loads(block)
        for one in msgspec.convert(tree.pop("receivers", []), tuple[AnyReceiver, ...]):  # type: ignore[arg-type]
            kinds.add(type(one).__struct_config__.tag)
        msgspec.convert(tree.pop("silences", []), tuple[Silence, ...])
        if "heartbeat" in tree:
            msgspec.convert(tree.pop("heartbeat"), HeartbeatSettings)
        assert not tree
    assert kinds == {"alertmanager", "apprise", "email", "slack", "webhook"}


def test_every_field_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {field.encode_name for field in msgspec.structs.fields(Body)} - named == set()
    assert {field.value for field in Field} - named == set()


def test_the_message_is_one_of_ours() -> None:
    (example,) = blocks("text")
    words = text(notice())
    assert f"{words.title}\n\n{plain(words)}".startswith(example.rstrip())


def test_the_signature_is_checked_as_the_page_says(tmp_path: Path) -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib}
    exec(code, names)
    (tmp_path / "secret").write_text("Zq8v-topsecret")
    with serving() as server:
        Webhook(Settings(name="hook", url=server.url, secret_file=str(tmp_path / "secret"))).send(notice(incident()))
        (received,) = server.received
    headers = {name.title(): value for name, value in received.headers.items()}
    is_genuine, now = names["is_genuine"], AT.timestamp()
    assert is_genuine(b"Zq8v-topsecret", headers, received.body, now)
    assert not is_genuine(b"Zq8v-topsecret", headers, received.body + b" ", now)
    assert not is_genuine(b"another", headers, received.body, now)
    assert not is_genuine(b"Zq8v-topsecret", headers, received.body, now + 600)
