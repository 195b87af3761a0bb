"""The live view and the lines of events: what they show, what the keys change, and that hostile text steers no terminal."""

import io
import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from notify_scenes import HOSTILE, finding, hostile, incident
from rich.console import Console

from why502.model.target import Target
from why502.watch.live_view import Filter, Recent, View, event_line, note_line, screen
from why502.watch.model import FailureKey, Member, MemberStatus, Observed, RequestKey, Transition

AT = datetime(2026, 11, 23, 3, 12, tzinfo=UTC)
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]")


def observed(proxy="nginx", symptom="connect-refused", failures=5, requests=20, **more):
    minute = int(AT.timestamp()) // 60
    return Observed(
        log="access.log",
        proxy=proxy,
        requests=Counter({(minute, RequestKey(proxy, "shop.example/", "2xx")): requests}),
        failures=Counter({(minute, FailureKey(proxy, "shop.example/", "127.0.0.1:3000", symptom)): failures}),
        **more,
    )


def shown(view, wanted=None):
    out = io.StringIO()
    Console(file=out, width=160, color_system=None).print(screen(view, wanted or Filter()))
    return out.getvalue()


def view(**more):
    recent = Recent()
    recent.add(observed(), 100.0)
    recent.add(observed(proxy="haproxy", symptom="read-timed-out", failures=3, requests=4), 100.5)
    members = (
        Member(proxy="nginx", group="app", peer=Target(host="127.0.0.1", port=3000), status=MemberStatus.DOWN, since=AT),
        Member(proxy="nginx", group="app", peer=Target(host="127.0.0.1", port=3001), status=MemberStatus.UP, since=AT),
    )
    return View(now=AT, now_s=101.0, recent=recent, members=members, incidents=[incident()], **more)


def test_shows_rates_members_and_incidents():
    text = shown(view(notes=["watching nginx"], status="2 gateways"))
    for part in ("2.4 requests/s", "0.8 failures/s", "connect-refused", "read-timed-out", "1 up", "1 down", "0 unknown"):
        assert part in text
    assert "127.0.0.1:3001" in text
    assert incident().finding.message[:40] in text
    assert "watching nginx" in text


def test_keys_filter():
    now, wanted = view(), Filter()
    wanted.press("p", now.recent.proxies(), now.recent.symptoms())
    assert wanted.proxy == "haproxy"
    assert "connect-refused" not in shown(now, wanted).partition("failures by symptom")[2]
    wanted.press("a", (), ())
    wanted.press("s", now.recent.proxies(), now.recent.symptoms())
    assert wanted.symptom == "connect-refused"
    assert "read-timed-out" not in shown(now, wanted)
    wanted.press("d", (), ())
    assert "127.0.0.1:3001" not in shown(now, wanted).rpartition("last result")[2]
    for _ in range(2):
        wanted.press("s", now.recent.proxies(), now.recent.symptoms())
    assert wanted.symptom == ""


def test_lines_of_before_the_start_are_no_rate():
    recent = Recent()
    recent.add(observed(is_history=True), 1.0)
    recent.add(observed(live_since=int(AT.timestamp()) // 60 + 1), 1.0)
    assert recent.requests(1.0, 10, "") == 0
    assert not recent.failures(1.0, 10, "")


def test_the_window_moves():
    recent = Recent()
    recent.add(observed(), 0.0)
    recent.add(observed(), 400.0)
    assert recent.requests(400.0, 300, "") == 20


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_steers_no_terminal(text):
    bad = hostile(text)
    lines = [event_line(AT, Transition.OPENED, bad), note_line(AT, text)]
    assert not any(STEERS.search(line) for line in lines)
    assert not STEERS.search(shown(view(notes=[text], status=text)).replace("\n", ""))
    everything = View(now=AT, now_s=0.0, recent=Recent(), incidents=[bad])
    assert not STEERS.search(shown(everything).replace("\n", ""))


def test_a_line_says_what_happened():
    line = event_line(AT, Transition.OPENED, incident())
    assert line.startswith("2026-11-23 03:12:00Z opened ")
    assert f"wrong-port: {finding().message}" in line
