"""Posts incidents to Slack. Text is sent as plain text wherever Slack allows it, and escaped elsewhere.

Facts: docs.slack.dev, chat.postMessage, chat.update, incoming webhooks, Block Kit (a header has 150 characters, a section 3000, a
message 50 blocks).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from why502.watch.message import Part, Text, text
from why502.watch.model import Transition
from why502.watch.notify.base import Notice, Undelivered, reason_of
from why502.watch.notify.http import post, secret_url
from why502.watch.notify.slack.settings import Settings

_SECTION = 2900  # characters, so that escapes and marks fit
_HEADER = 150
_BLOCKS = 45
_SIGNS = {Transition.OPENED: "🔴", Transition.UPDATED: "🔴", Transition.REOPENED: "🔴", Transition.RESOLVED: "🟢"}
_REFUSED = frozenset(  # errors about the content
    {
        "msg_too_long",
        "no_text",
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "invalid_arguments",
        "invalid_json",
    }
)
_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})

_RAW = {"parse": "none"}  # chat.update would look for names and links otherwise
_POSTED = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}

Block = dict[str, Any]


def make(settings: Settings) -> tuple[Slack, ...]:
    """Return the receiver."""
    return (Slack(settings),)


def escape(words: str) -> str:
    """Return text for a field in which Slack reads marks: `&`, `<` and `>` are escaped, as its documentation asks for."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Slack:
    """One channel."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def send(self, notice: Notice) -> str:
        """Send one message. Return the channel and the time stamp of the incident's first message. Raises Undelivered."""
        message = message_of(notice)
        if self.settings.url_file:
            post(secret_url(self.settings.url_file), msgspec.json.encode(message), {}, self.settings)
            return ""
        channel, _, stamp = notice.thread.partition("/")
        if not stamp:
            return self._begin(message, notice)
        try:
            self._ask("chat.update", {**message, "channel": channel, "ts": stamp, **_RAW, **_metadata(notice)})
        except _Refused as error:
            if error.code not in _GONE:
                raise
            return self._begin(message, notice)
        is_loud = notice.transition is Transition.REOPENED and not notice.is_quiet
        reply = {"thread_ts": stamp, "reply_broadcast": is_loud, "text": escape(_news(notice))}
        self._ask("chat.postMessage", {**reply, "channel": channel, **_RAW, **_POSTED, **_metadata(notice)})
        return notice.thread

    def _begin(self, message: dict[str, Any], notice: Notice) -> str:
        channel = {"channel": self.settings.channel}
        answer = self._ask("chat.postMessage", {**message, **channel, **_RAW, **_POSTED, **_metadata(notice)})
        return f"{answer.channel or self.settings.channel}/{answer.ts}"

    def _ask(self, method: str, arguments: dict[str, Any]) -> _Answer:
        url = f"{self.settings.api_url.rstrip('/')}/{method}"
        headers = {"Content-Type": "application/json; charset=utf-8"}
        body = post(url, msgspec.json.encode(arguments), headers, self.settings).body
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Undelivered(f"Slack: {method}: the response could not be parsed") from error
        if not answer.ok:
            raise _Refused(method, answer.error)
        return answer


class _Answer(msgspec.Struct):
    """The fields of an answer that are read; there are more."""

    ok: bool
    error: str = ""
    channel: str = ""
    ts: str = ""


class _Refused(Undelivered):
    """Slack answered that it did not do it."""

    def __init__(self, method: str, code: str) -> None:
        super().__init__(f"Slack: {method}: {reason_of(code)}", is_final=code in _REFUSED)
        self.code = code


def _metadata(notice: Notice) -> dict[str, Any]:
    payload = {"key": notice.key, "incident": notice.incident.id}
    return {"metadata": {"event_type": "why502_incident", "event_payload": payload}}


def _news(notice: Notice) -> str:
    """Return what a reply in the thread says: the first paragraph is what is new."""
    words = text(notice)
    return f"{words.title}\n{words.paragraphs[0]}"


def message_of(notice: Notice) -> dict[str, Any]:
    """Return the text and the blocks of a message."""
    words = text(notice)
    return {"text": escape(words.title), "blocks": list(_blocks(words, notice))[:_BLOCKS]}


def _blocks(words: Text, notice: Notice) -> Iterator[Block]:
    yield {"type": "header", "text": _plain(f"{_SIGNS[notice.transition]} {words.title}", _HEADER)}
    for paragraph in words.paragraphs:
        yield {"type": "section", "text": _plain(paragraph)}
    for part in words.parts:
        yield from _part(part)
    if words.link:
        yield {
            "type": "section",
            "text": {"type": "mrkdwn", "text": f"<{escape(words.link).replace('|', '%7C')}|Open the incident>"},
        }
    yield {"type": "context", "elements": [_plain(f"Message {words.key} of why502 watch")]}


def _part(part: Part) -> Iterator[Block]:
    if not part.is_code:
        lines = "\n".join(f"• {line}" for line in part.lines)
        yield {"type": "section", "text": _plain(f"{part.heading}\n{lines}" if part.heading else lines)}
        return
    if part.heading:
        yield {"type": "section", "text": _plain(part.heading)}
    code = ""
    for line in part.lines:
        escaped = escape(line.replace("```", "'''")) + "\n"
        if len(code) + len(escaped) > _SECTION:
            yield _code(code)
            code = ""
        code += escaped
    yield _code(code)


def _code(lines: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": f"```\n{lines}```", "verbatim": True}}


def _plain(words: str, longest: int = _SECTION) -> Block:
    cut = words if len(words) <= longest else f"{words[: longest - 1]}…"
    return {"type": "plain_text", "text": cut, "emoji": False}
