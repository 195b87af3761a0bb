"""Whatever strangers write, every receiver gets a message that can be sent, and no control characters in it."""

from __future__ import annotations

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notify_scenes import closed, hostile, notice

from why502.model.base import encode
from why502.watch.message import page, plain, text
from why502.watch.model import Transition
from why502.watch.notify.alert import annotations_of, labels_of
from why502.watch.notify.base import Notice
from why502.watch.notify.email.receiver import compose
from why502.watch.notify.email.settings import Settings as EmailSettings
from why502.watch.notify.slack.receiver import message_of
from why502.watch.notify.webhook.receiver import own, version_4

EMAIL = EmailSettings(name="mail", host="mail.example", sender="why502@web1.example", to=("ops@example.org",))
BIDIRECTIONAL = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f"
ANY = st.text(
    st.one_of(st.characters(), st.characters(categories=["Cs", "Cc", "Cf"]), st.sampled_from("<>&@!`*_|\r\n\t {}%$\\\"'")),
    max_size=300,
)
NOTICES = st.builds(
    lambda words, is_over, transition, is_first: notice(
        closed(hostile(words)) if is_over else hostile(words), transition, is_first=is_first, remark=words
    ),
    ANY,
    st.booleans(),
    st.sampled_from(list(Transition)),
    st.booleans(),
)


def lines_of(one: Notice) -> list[str]:
    words = text(one)
    return [words.title, *words.paragraphs, *(line for part in words.parts for line in (part.heading, *part.lines))]


@pytest.mark.thorough
@given(NOTICES)
@settings(max_examples=150, deadline=None)
def test_any_text_can_be_sent_to_every_receiver(one: Notice) -> None:
    for line in lines_of(one):
        assert not [sign for sign in line if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in BIDIRECTIONAL], (
            line
        )
    plain(text(one)).encode()
    page(text(one)).encode()
    for body in (own(one), version_4(one, "hook"), labels_of(one.incident), annotations_of(one), message_of(one)):
        assert json.loads(msgspec.json.encode(body)) == json.loads(encode(body))
    message = compose(one, EMAIL)
    assert message.as_bytes()
    assert message["To"] == "ops@example.org"
    assert "\n" not in message["Subject"]
