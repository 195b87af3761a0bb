"""Slack, as its documentation describes it: one thread for each incident, its first message edited in place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from notify_scenes import HOSTILE, Received, Server, answer, closed, hostile, incident, notice, serving

from why502.watch.model import Transition
from why502.watch.notify.base import Notice, Undelivered
from why502.watch.notify.slack.receiver import Slack
from why502.watch.notify.slack.settings import Settings

TOKEN = "xoxb-" + "1234567890-abcdefghij"  # in two parts: it is of no workspace
COMMON = {"channel", "text", "blocks", "metadata", "parse", "link_names", "reply_broadcast"}
FIELDS = {
    "/api/chat.postMessage": COMMON | {"thread_ts", "mrkdwn", "unfurl_links", "unfurl_media"},
    "/api/chat.update": COMMON | {"ts"},
    "/services/T0/B0/secret": {"text", "blocks"},
}


@dataclass
class Workspace:
    """A service that takes what Slack's documentation allows, and refuses the rest as Slack does."""

    messages: dict[str, dict[str, Any]] = field(default_factory=dict)  # by time stamp
    replies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def answer(self, handler: Any, received: Received) -> None:
        body = received.json
        error = self.error(received, body)
        if received.path.startswith("/services/"):
            self.order.append("webhook")
            self.messages[str(len(self.messages))] = body
            answer(400 if error else 200, (error or "ok").encode())(handler, received)
            return
        self.order.append(received.path.rpartition("/")[2])
        stamp = body.get("ts") or f"1763867550.{len(self.order):06d}"
        if not error:
            if received.path.endswith("update") or "thread_ts" not in body:
                self.messages[stamp] = body
            else:
                self.replies.setdefault(body["thread_ts"], []).append(body)
        told = (
            {"ok": False, "error": error} if error else {"ok": True, "channel": "C0REAL", "ts": stamp, "message": {"text": "…"}}
        )
        answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})(handler, received)

    def error(self, received: Received, body: dict[str, Any]) -> str:
        if received.path not in FIELDS:
            return "unknown_method"
        if set(body) - FIELDS[received.path]:
            return "invalid_arguments"
        if received.path.startswith("/api/") and received.headers.get("authorization") != f"Bearer {TOKEN}":
            return "invalid_auth"
        if received.path.endswith("update") and body["ts"] not in self.messages:
            return "message_not_found"
        if len(body["text"]) > 4000 or len(body.get("blocks", ())) > 50:
            return "msg_too_long"
        return "" if all(is_valid(block) for block in body.get("blocks", ())) else "invalid_blocks"


def is_valid(block: dict[str, Any]) -> bool:
    match block:
        case {"type": "header", "text": {"type": "plain_text", "text": str(text), "emoji": False}}:
            return 0 < len(text) <= 150
        case {"type": "section", "text": {"type": "plain_text", "text": str(text), "emoji": False}}:
            return 0 < len(text) <= 3000
        case {"type": "section", "text": {"type": "mrkdwn", "text": str(text)}}:
            return 0 < len(text) <= 3000
        case {"type": "context", "elements": [{"type": "plain_text", "text": str(text), "emoji": False}]}:
            return 0 < len(text) <= 2000
    return False


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


@pytest.fixture
def server(workspace: Workspace) -> Iterator[Server]:
    with serving(workspace.answer) as found:
        yield found


@pytest.fixture
def bot(server: Server, tmp_path: Path) -> Slack:
    (tmp_path / "token").write_text(TOKEN)
    return Slack(Settings(name="chat", token_file=str(tmp_path / "token"), channel="C0123", api_url=f"{server.url}/api"))


@pytest.fixture
def webhook(server: Server, tmp_path: Path) -> Slack:
    (tmp_path / "url").write_text(f"{server.url}/services/T0/B0/secret\n")
    return Slack(Settings(name="chat", url_file=str(tmp_path / "url")))


def later(one: Notice, transition: Transition, thread: str) -> Notice:
    state = closed(incident()) if transition is Transition.RESOLVED else incident()
    return notice(state, transition, thread=thread, is_first=False, key=f"7K3F.{transition}")


def test_an_incident_is_one_message_that_has_the_present_state_and_a_thread(bot: Slack, workspace: Workspace) -> None:
    thread = bot.send(notice(link="https://why502.example/incidents/7K3F"))
    assert thread == "C0REAL/1763867550.000001"
    for transition in (Transition.UPDATED, Transition.REOPENED, Transition.RESOLVED):
        assert bot.send(later(notice(), transition, thread)) == thread
    ((stamp, first),) = workspace.messages.items()
    assert first["blocks"][0]["text"]["text"] == "🟢 RESOLVED web1: 502 from shop.example/, wrong-port"
    replies = workspace.replies[stamp]
    assert [reply["text"].split(" ")[0] for reply in replies] == ["UPDATED", "REOPENED", "RESOLVED"]
    assert [reply["reply_broadcast"] for reply in replies] == [False, True, False]
    assert "Resolved at 2026-11-23 03:22:30Z, after 10 minutes" in replies[-1]["text"]
    assert [reply["metadata"]["event_payload"]["key"] for reply in replies] == ["7K3F.updated", "7K3F.reopened", "7K3F.resolved"]


def test_a_failure_that_came_back_quietly_is_not_broadcast(bot: Slack, workspace: Workspace) -> None:
    thread = bot.send(notice())
    bot.send(notice(incident(), Transition.REOPENED, thread=thread, is_first=False, is_quiet=True))
    ((reply,),) = workspace.replies.values()
    assert reply["reply_broadcast"] is False


def test_a_message_that_somebody_removed_is_posted_anew(bot: Slack, workspace: Workspace) -> None:
    bot.send(notice())
    workspace.messages.clear()
    thread = bot.send(later(notice(), Transition.RESOLVED, "C0REAL/1763867550.000001"))
    assert thread == "C0REAL/1763867550.000003"
    assert list(workspace.messages) == ["1763867550.000003"]


def test_the_fix_is_code_and_the_link_can_be_followed(bot: Slack, workspace: Workspace) -> None:
    bot.send(notice(link="https://why502.example/incidents/7K3F"))
    (message,) = workspace.messages.values()
    marked = [block["text"]["text"] for block in message["blocks"] if block.get("text", {}).get("type") == "mrkdwn"]
    assert marked[0].startswith("```\n--- /etc/nginx/nginx.conf\n")
    assert "+  proxy_pass http://127.0.0.1:3000;" in marked[0]
    assert marked[-1] == "<https://why502.example/incidents/7K3F|Open the incident>"


def test_an_incoming_webhook_gets_a_message_for_each_transition(webhook: Slack, workspace: Workspace) -> None:
    assert webhook.send(notice()) == ""
    webhook.send(later(notice(), Transition.RESOLVED, ""))
    assert [one["text"].split(" ")[0] for one in workspace.messages.values()] == ["PAGE", "RESOLVED"]


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        ("invalid_auth", False),
        ("channel_not_found", False),
        ("not_in_channel", False),
        ("msg_too_long", True),
        ("invalid_blocks", True),
    ],
)
def test_what_slack_refuses(bot: Slack, server: Server, error: str, is_final: bool) -> None:
    server.answers = [answer(200, json.dumps({"ok": False, "error": error}).encode())]
    with pytest.raises(Undelivered) as caught:
        bot.send(notice())
    assert (caught.value.reason, caught.value.is_final) == (f"Slack: chat.postMessage: {error}", is_final)


def test_slack_decides_how_long_it_is_left_alone(bot: Slack, server: Server) -> None:
    server.answers = [answer(429, b'{"ok": false, "error": "ratelimited"}', {"Retry-After": "30"})]
    with pytest.raises(Undelivered) as caught:
        bot.send(notice())
    assert caught.value.retry_after_s == 30
    assert TOKEN not in caught.value.reason


@pytest.mark.parametrize("body", [b"<html>captive portal", b"[]", b'{"ok": "perhaps"}', b"\xff", b""])
def test_an_answer_that_is_not_slacks(bot: Slack, server: Server, body: bytes) -> None:
    server.answers = [answer(200, body)]
    with pytest.raises(Undelivered, match="the response could not be parsed"):
        bot.send(notice())


def test_the_url_of_a_webhook_is_in_no_reason(webhook: Slack, server: Server) -> None:
    server.answers = [answer(404, b"no_service /services/T0/B0/secret")]
    with pytest.raises(Undelivered) as caught:
        webhook.send(notice())
    assert "T0/B0" not in caught.value.reason


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_strangers_is_neither_a_mention_nor_markup(bot: Slack, webhook: Slack, workspace: Workspace, text: str) -> None:
    thread = bot.send(notice(hostile(text)))
    bot.send(notice(hostile(text), Transition.UPDATED, thread=thread, is_first=False))
    webhook.send(notice(closed(hostile(text)), Transition.RESOLVED))
    assert len(workspace.messages) == 2
    read_by_slack = []
    for message in [*workspace.messages.values(), *(one for all_ in workspace.replies.values() for one in all_)]:
        read_by_slack.append(message["text"])
        for block in message.get("blocks", ()):
            if block.get("text", {}).get("type") == "mrkdwn":
                code = block["text"]["text"]
                assert code.startswith("```\n")
                assert code.endswith("```")
                assert "```" not in code[3:-3]
                read_by_slack.append(code)
    assert read_by_slack
    assert not any("<" in one or ">" in one for one in read_by_slack)
