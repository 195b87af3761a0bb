"""The webhook: both forms, signed, with the same key each time."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from notify_scenes import HOSTILE, Server, answer, closed, hostile, incident, notice, serving

from why502.watch.model import Transition
from why502.watch.notify.base import Undelivered
from why502.watch.notify.webhook.receiver import Webhook
from why502.watch.notify.webhook.settings import Settings


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


def webhook(server: Server, **changes: Any) -> Webhook:
    return Webhook(msgspec.convert({"kind": "webhook", "name": "hook", "url": server.url, **changes}, Settings))


def test_the_form_of_our_own(server: Server) -> None:
    webhook(server).send(notice(link="https://why502.example/incidents/7K3F"))
    (received,) = server.received
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == '"7K3F.1"'
    body = received.json
    text = body.pop("text")
    assert text.startswith("Clients of shop.example/ get 502: nginx connects to 127.0.0.1:3001, where nothing listens")
    assert body == {
        "schema": 1, "key": "7K3F.1", "keys": ["7K3F.1"], "transition": "opened", "transitions": ["opened"], "is_test": False,
        "is_quiet": False,
        "sent_at": "2026-11-23T03:12:30Z", "title": "PAGE web1: 502 from shop.example/, wrong-port",
        "link": "https://why502.example/incidents/7K3F", "incident": "7K3F", "host": "web1", "proxy": "nginx",
        "target": "127.0.0.1:3001", "location": "shop.example/", "targets": [], "locations": ["shop.example/"],
        "severity": "page",
        "symptom": "connect-refused", "symptoms": {}, "cause": "wrong-port", "fault_domain": "proxy", "confidence": 0.95,
        "opened_at": "2026-11-23T03:12:30Z", "first_failure_at": "2026-11-23T03:12:10Z",
        "last_failure_at": "2026-11-23T03:12:35Z", "closed_at": None, "closing": "", "failures": 312, "requests": 1480,
        "recovered": 0,
        "evidence": [
            {"message": "connection refused 6 times, answered 502", "source": "/var/log/nginx/error.log:1"},
            {"message": "node (pid 10) listens on 127.0.0.1:3000, which no route names", "source": "ss -ltnp"},
        ],
        "fix": {
            "summary": "let the proxy connect to port 3000",
            "diff": ("--- /etc/nginx/nginx.conf\n+++ /etc/nginx/nginx.conf\n-  proxy_pass http://127.0.0.1:3001;\n+  "
                    "proxy_pass http://127.0.0.1:3000;"),
            "command": "why502 fix --cause wrong-port", "is_valid": True,
            "tested": "The gateway's own test accepts a copy with this change.",
        },
        "changes": [{"kind": "reload", "subject": "nginx", "at": "2026-11-23T03:11:30Z", "detail": ""}], "caused_by": "",
        "labels": {
            "alertname": "Why502Incident", "host": "web1", "proxy": "nginx", "cause": "wrong-port", "fault_domain": "proxy",
            "target": "127.0.0.1:3001", "location": "shop.example/", "severity": "page", "incident": "7K3F",
        },
    }  # fmt: skip


def test_the_end_has_the_keys_of_all_that_was_not_told(server: Server) -> None:
    both = (Transition.OPENED, Transition.RESOLVED)
    webhook(server).send(notice(closed(incident()), key="7K3F.2", keys=("7K3F.1", "7K3F.2"), transitions=both))
    body = server.received[0].json
    assert (body["transition"], body["transitions"], body["keys"]) == ("resolved", ["opened", "resolved"], ["7K3F.1", "7K3F.2"])
    assert body["closed_at"] == "2026-11-23T03:22:30Z"


def test_alertmanagers_form(server: Server) -> None:
    webhook(server, form="alertmanager").send(notice(closed(incident())))
    body = server.received[0].json
    assert (body["version"], body["status"], body["receiver"]) == ("4", "resolved", "hook")
    (alert,) = body["alerts"]
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T03:12:30Z", "2026-11-23T03:22:30Z")
    assert alert["annotations"]["key"] == "7K3F.1"


def test_a_signed_body_can_be_verified_and_not_sent_again_by_others(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("Zq8v-topsecret\n")
    webhook(server, secret_file=str(tmp_path / "secret")).send(notice())
    (received,) = server.received
    sent_at, signature = received.headers["x-why502-timestamp"], received.headers["x-why502-signature"]
    assert sent_at == "1795403550"
    expected = hmac.new(b"Zq8v-topsecret", f"{sent_at}.".encode() + received.body, hashlib.sha256).hexdigest()
    assert signature == f"sha256={expected}"


def test_a_url_with_a_secret_is_read_from_a_file_for_each_message(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "url"
    one = webhook(server, url="", url_file=str(path))
    path.write_text(f"{server.url}/first-secret")
    one.send(notice())
    path.write_text(f"{server.url}/second-secret")
    one.send(notice())
    assert [received.path for received in server.received] == ["/first-secret", "/second-secret"]
    server.answers = [answer(500, b"/second-secret is not known")]
    with pytest.raises(Undelivered) as caught:
        one.send(notice())
    assert "second-secret" not in caught.value.reason
    path.write_text("gopher://second-secret")
    with pytest.raises(Undelivered) as caught:
        one.send(notice())
    assert caught.value.reason == f"{path}: the URL must be a URL such as https://alerts.example/path"


@pytest.mark.parametrize("form", ["why502", "alertmanager"])
@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_strangers_stays_text(server: Server, form: str, text: str) -> None:
    webhook(server, form=form).send(notice(hostile(text)))
    (received,) = server.received
    everything = json.dumps(received.json, ensure_ascii=False)
    everything.encode()
    assert not any(mention in everything for mention in ("<!", "<@U", "<#", "@channel", "@here", "@everyone"))
    assert not any(sign in everything for sign in ("\\r", "\\u001b", "\\u0000", "\x9b", "\u202e"))
    assert len(received.body) < 100_000
    assert set(received.headers) <= {"host", "accept-encoding", "content-length", "content-type", "idempotency-key", "user-agent"}
