"""The settings of receivers: what is wrong with them is said with its place, and never a secret."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from notify_scenes import AT, incident

from why502.registry import products
from why502.watch.notify.base import Repeater
from why502.watch.notify.settings import PACKAGE, AnyReceiver, receivers
from why502.watch.notify.silence import Silence

VALID: dict[str, dict[str, Any]] = {
    "alertmanager": {"urls": ["http://127.0.0.1:9093", "https://am.example/prefix"]},
    "apprise": {"url_file": "/etc/why502/apprise"},
    "email": {"host": "mail.example", "from": "why502@web1.example", "to": ["ops@example.org"]},
    "slack": {"token_file": "/etc/why502/slack", "channel": "C0123"},
    "webhook": {"url": "https://hook.example/x", "secret_file": "/etc/why502/hook"},
}


def read(*values: dict[str, Any]) -> tuple[Any, ...]:
    return msgspec.convert(values, tuple[AnyReceiver, ...])  # type: ignore[arg-type]


def failure(kind: str, **changes: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        read({"kind": kind, "name": "one", **VALID[kind], **changes})
    return str(caught.value)


def test_every_kind_is_found_by_its_directory() -> None:
    assert set(products(PACKAGE)) == set(VALID)
    settings = read(*({"kind": kind, "name": kind, **values} for kind, values in VALID.items()))
    made = receivers(settings)
    assert [one.settings.name for one in made] == ["alertmanager", "alertmanager", "apprise", "email", "slack", "webhook"]
    assert [one.name for one in made if isinstance(one, Repeater)] == [
        "alertmanager at 127.0.0.1:9093",
        "alertmanager at am.example",
    ]
    assert [one.settings.takes_messages for one in made] == [False, False, True, True, True, True]


@pytest.mark.parametrize("kind", VALID)
def test_a_key_that_is_not_known_is_an_error_with_its_place(kind: str) -> None:
    assert failure(kind, colour="red") == "Object contains unknown field `colour` - at `$[0]`"
    assert failure(kind, name="two words") == "name must be 1 to 64 letters, digits, `-`, `_` or `.` - at `$[0]`"
    assert "Invalid enum value 'loud'" in failure(kind, severities=["loud"])
    assert "Invalid enum value 'prox' - at `key` in `$[0].match`" in failure(kind, match={"prox": "x"})
    assert "severities must name at least one" in failure(kind, severities=[])


@pytest.mark.parametrize(
    "url",
    ["", "hook.example", "ftp://hook.example", "http://", "http://[::1", "http://x:99999/", "http://x:0/", "http://x/a b",
    "http://x/\r\nHost: y", "http://\u00e9.example/", "file:///etc/passwd", "http://user:Zq8vtopsecret@hook.example/"],
)  # fmt: skip
def test_a_url_that_nobody_can_send_to(url: str) -> None:
    for told in (failure("webhook", url=url), failure("alertmanager", urls=[url]), failure("slack", api_url=url)):
        assert "- at `$[0]`" in told
        assert "topsecret" not in told


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("webhook", {"url_file": "/x"}, "set either url or url_file"),
        ("webhook", {"secret_file": "x"}, "secret_file must be an absolute path"),
        ("webhook", {"form": "xml"}, "Invalid enum value 'xml' - at `$[0].form`"),
        ("webhook", {"link": "incidents"}, "link must be a URL"),
        ("webhook", {"link": "https://why502.example/"}, "link must have {incident}"),
        ("webhook", {"timeout_s": 0}, "Expected `float` >= 1.0"),
        ("webhook", {"timeout_s": 3600}, "Expected `float` <= 60.0"),
        ("webhook", {"user": "ops"}, "user and password_file belong together"),
        ("webhook", {"user": "ops", "password_file": "/x", "token_file": "/y"}, "but not both"),
        ("webhook", {"proxy": "socks5://x"}, "proxy must be a URL"),
        ("webhook", {"proxy": "https://x"}, "proxy must begin with http://"),
        ("webhook", {"token": "Zq8vtopsecret"}, "unknown field `token`"),
        ("alertmanager", {"urls": []}, "urls must have the URL of each"),
        ("alertmanager", {"urls": ["http://x", "http://x"]}, "once"),
        ("slack", {"channel": ""}, "token_file and channel belong together"),
        ("slack", {"url_file": "/x"}, "set either token_file and channel, or url_file"),
        ("email", {"to": []}, "to must have at least one address"),
        ("email", {"to": ["ops@example.org\r\nBcc: x@y.example"]}, "to must be an address"),
        ("email", {"to": ["ops@example.org, x@y.example"]}, "to must be an address"),
        ("email", {"to": ["Ops <ops@example.org>"]}, "to must be an address"),
        ("email", {"from": "nobody"}, "from must be an address"),
        ("email", {"host": "mail.example/x"}, "host must be the name"),
        ("email", {"port": 70000}, "Expected `int` <= 65535"),
        ("email", {"security": "ssl"}, "Invalid enum value 'ssl'"),
        ("email", {"security": "none", "user": "ops", "password_file": "/x"}, "not sent without encryption"),
        ("apprise", {"url_file": ""}, "url_file must be the path"),
    ],
)
def test_what_is_wrong_is_said(kind: str, changes: dict[str, Any], expected: str) -> None:
    told = failure(kind, **changes)
    assert expected in told
    assert "topsecret" not in told


def test_two_receivers_of_one_name_are_refused() -> None:
    one = {"kind": "webhook", "name": "hook", "url": "http://127.0.0.1:9"}
    with pytest.raises(ValueError, match="two receivers have the name hook"):
        receivers(read(one, one))


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("why502.watch.notify.apprise.settings.find_spec", lambda _: None)
    assert "pip install 'why502[notify]'" in failure("apprise")


def silence(**changes: Any) -> Silence:
    return msgspec.convert(
        {"match": {"target": "127.0.0.1:*"}, "since": AT, "until": AT + timedelta(hours=2), **changes}, Silence
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"match": {}}, "match must have at least one field"),
        ({"until": AT}, "until must be after since, by 31 days at most"),
        ({"until": AT + timedelta(days=32)}, "31 days at most"),
        ({"since": datetime(2026, 11, 23, 3)}, "since must have a time zone"),
        ({"match": {"colour": "red"}}, "Invalid enum value 'colour'"),
    ],
)
def test_a_silence_has_an_end_and_something_that_it_covers(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=expected):
        silence(**changes)


def test_a_silence_covers_what_matches_in_every_field_while_it_lasts() -> None:
    one = silence(match={"target": "127.0.0.1:*", "proxy": ["haproxy", "nginx"]})
    assert one.covers(incident(), AT)
    assert not one.covers(incident(), AT + timedelta(hours=2))
    assert not one.covers(incident(), AT - timedelta(seconds=1))
    assert not one.covers(incident(proxy="apache"), AT)
    assert not one.covers(incident(target="10.0.0.1:80"), AT)
    assert one.until.tzinfo is UTC


def test_the_settings_of_a_receiver_have_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("Zq8vtopsecret")
    (one,) = read({"kind": "webhook", "name": "hook", "url": "http://127.0.0.1:9", "token_file": str(path)})
    assert "topsecret" not in repr(one) + repr(receivers((one,)))
