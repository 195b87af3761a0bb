"""What Debian's Alertmanager makes of what it is sent."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from notify_scenes import (
    HOSTILE,
    Clock,
    MemoryStore,
    Received,
    Server,
    answer,
    closed,
    diagnosed,
    eventually,
    finding,
    hostile,
    incident,
    notice,
    serving,
)

from why502.generate.observability import inhibition
from why502.model.finding import Layer
from why502.watch.model import Diagnosed, Incident, Occasion, Severity
from why502.watch.notify.alertmanager.receiver import Alertmanager, make
from why502.watch.notify.alertmanager.settings import Settings
from why502.watch.notify.webhook.receiver import version_4
from why502.watch.outbox import Repetition, Surroundings

real = pytest.mark.real

CONFIG = """
route: {{receiver: hook, group_by: [incident], group_wait: 100ms, group_interval: 300ms, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: '{hook}', send_resolved: true}}]}}]
"""


@dataclass
class Running:
    """An Alertmanager that runs."""

    url: str
    process: subprocess.Popen[bytes]

    def alerts(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as response:
            return sorted(json.load(response), key=lambda one: one["labels"].get("incident", ""))


@contextmanager
def alertmanager(directory: Path, config: str, port: int = 0) -> Iterator[Running]:
    """Run an Alertmanager without memory of an earlier one."""
    directory.mkdir()
    (directory / "am.yml").write_text(config)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus-alertmanager",
                f"--config.file={directory}/am.yml",
                f"--storage.path={directory}/data",
                "--cluster.listen-address=",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        found = eventually(lambda: re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', (directory / "log").read_text()))
        running = Running(f"http://{found[1]}", process)
        eventually(lambda: urllib.request.urlopen(f"{running.url}/-/ready", timeout=5).status == 200)
        yield running
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def hook() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def running(tmp_path: Path, hook: Server) -> Iterator[Running]:
    with alertmanager(tmp_path / "am", CONFIG.format(hook=hook.url)) as found:
        yield found


class Ours:
    """Our side: a store, and the repetition to Alertmanagers, whose minute goes by when told."""

    def __init__(self, *urls: str, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.later_s = 0.0
        self.notes: list[str] = []
        around = Surroundings(
            source=self.store,
            put=self.store.put,
            note=self.notes.append,
            monotonic_s=lambda: 1000 + self.later_s,
        )
        self.turns = [
            Repetition(one, around)
            for one in make(Settings(name="am", urls=urls, link="https://why502.example/incidents/{incident}"))
        ]

    def turn(self, *incidents: Incident, later_s: float = 61) -> None:
        self.later_s += later_s
        for one in incidents:
            self.store.incidents[one.id] = one
        for turns in self.turns:
            turns.turn()


def now_incident(**changes: Any) -> Incident:
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
    found = (Diagnosed(at=at, occasion=Occasion.OPENED, finding=finding()),)
    return incident(**{"opened_at": at, "diagnosed": found, **changes})


def states(received: list[Received], id: str) -> list[list[tuple[str, str]]]:
    """Return, for each notification about an incident, the causes and their status."""
    bodies = [one.json for one in received if one.json["groupLabels"]["incident"] == id]
    return [sorted((alert["labels"].get("cause", ""), alert["status"]) for alert in body["alerts"]) for body in bodies]


@real
def test_an_incident_is_one_alert_from_its_start_to_its_end(running: Running, hook: Server) -> None:
    one = now_incident()
    ours = Ours(running.url)
    ours.turn(one)
    hook.wait_for(len)
    (alert,) = running.alerts()
    assert alert["labels"] == {
        "alertname": "Why502Incident", "host": "web1", "proxy": "nginx", "cause": "wrong-port", "fault_domain": "proxy",
        "target": "127.0.0.1:3001", "location": "shop.example/", "severity": "page", "incident": "7K3F",
    }  # fmt: skip
    assert alert["generatorURL"] == "https://why502.example/incidents/7K3F"
    assert "nginx connects to 127.0.0.1:3001" in alert["annotations"]["description"]
    ends_at = datetime.fromisoformat(alert["endsAt"])
    assert timedelta(minutes=3, seconds=50) < ends_at - datetime.now(UTC) <= timedelta(minutes=4)

    ours.turn(msgspec.structs.replace(one, failures=999))  # a minute later, with other numbers
    Ours(running.url).turn(one)  # and after a restart of ours
    (again,) = running.alerts()
    assert again["startsAt"] == alert["startsAt"]
    assert again["fingerprint"] == alert["fingerprint"]
    assert datetime.fromisoformat(again["endsAt"]) >= ends_at

    restarted = Ours(running.url)
    restarted.turn(closed(one, 90))
    hook.wait_for(lambda all_: len(all_) == 2)
    assert states(hook.received, "7K3F") == [[("wrong-port", "firing")], [("wrong-port", "resolved")]]


@real
@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_incident_that_came_back_fires_again(running: Running, hook: Server, is_restarted: bool) -> None:
    one = now_incident()
    ours = Ours(running.url)
    ours.turn(one)
    hook.wait_for(len)
    ours.turn(closed(one, 90))
    hook.wait_for(lambda all_: len(all_) == 2)
    back = msgspec.structs.replace(one, times_reopened=1)
    (Ours(running.url) if is_restarted else ours).turn(back)
    hook.wait_for(lambda all_: len(all_) == 3)
    assert states(hook.received, "7K3F") == [[("wrong-port", status)] for status in ("firing", "resolved", "firing")]
    (alert,) = running.alerts()
    assert datetime.fromisoformat(alert["endsAt"]) > datetime.now(UTC) + timedelta(minutes=3)


@real
def test_a_changed_cause_is_one_message_with_the_end_of_the_old_alert(running: Running, hook: Server) -> None:
    one = now_incident()
    ours = Ours(running.url)
    ours.turn(one)
    hook.wait_for(len)
    later = msgspec.structs.replace(
        one,
        diagnosed=(
            *one.diagnosed,
            Diagnosed(at=datetime.now(UTC), occasion=Occasion.CHANGED, finding=finding("backend-crashed", Layer.UPSTREAM)),
        ),
    )
    ours.turn(later, later_s=5)
    hook.wait_for(lambda all_: len(all_) == 2)
    assert states(hook.received, "7K3F")[1] == [("backend-crashed", "firing"), ("wrong-port", "resolved")]
    ours.turn(closed(later, 119))
    hook.wait_for(lambda all_: len(all_) == 3)
    assert ("backend-crashed", "resolved") in states(hook.received, "7K3F")[2]


@real
def test_after_a_restart_alertmanager_has_every_open_alert_and_every_recent_end_within_a_minute(
    tmp_path: Path, hook: Server
) -> None:
    first, second, over = (
        now_incident(),
        now_incident(id="8Q2Z", target="10.0.0.9:80"),
        now_incident(id="9XYZ", target="10.0.0.7:80"),
    )
    with alertmanager(tmp_path / "before", CONFIG.format(hook=hook.url)) as before:
        ours = Ours(before.url)
        ours.turn(first, second, over)
        started = {one["labels"]["incident"]: one["startsAt"] for one in before.alerts()}
        port = int(before.url.rpartition(":")[2])
    ours.turn(first, second, closed(over, 60))  # nobody is there
    assert "connection refused" in ours.notes[-1]
    with alertmanager(tmp_path / "after", CONFIG.format(hook=hook.url), port) as after:
        assert after.alerts() == []
        ours.turn()
        assert {one["labels"]["incident"]: one["startsAt"] for one in after.alerts()} == {
            id: at for id, at in started.items() if id != "9XYZ"
        }
        assert "works again" in ours.notes[-1]


@real
@pytest.mark.parametrize("minutes", [-600, -10, 10])
def test_a_clock_that_is_wrong_hides_no_incident_and_ends_each(running: Running, hook: Server, minutes: int) -> None:
    store, wrong = MemoryStore(), timedelta(minutes=minutes)
    around = Surroundings(source=store, put=store.put, now=lambda: datetime.now(UTC) + wrong)
    (turns,) = (Repetition(one, around) for one in make(Settings(name="am", urls=(running.url,))))
    one = incident(opened_at=around.now(), diagnosed=(Diagnosed(at=around.now(), occasion=Occasion.OPENED, finding=finding()),))
    store.incidents[one.id] = one
    turns.turn()
    hook.wait_for(len)
    store.incidents[one.id] = closed(one, 0)
    turns.turn()
    hook.wait_for(lambda all_: len(all_) == 2)
    assert states(hook.received, "7K3F") == [[("wrong-port", "firing")], [("wrong-port", "resolved")]]


@real
def test_each_of_several_alertmanagers_is_told_even_if_the_first_hangs(tmp_path: Path, running: Running) -> None:
    with serving() as stuck:
        stuck.answers = [stuck.hang]
        stuck_settings = Settings(name="am", urls=(stuck.url, running.url), timeout_s=1.0)
        store = MemoryStore()
        store.incidents["7K3F"] = now_incident()
        around = Surroundings(source=store, put=store.put)
        slow, quick = (Repetition(one, around) for one in make(stuck_settings))
        assert slow.turn() == 1.0  # until it is tried again
        quick.turn()
        assert len(running.alerts()) == 1


MUTED = {
    ("Why502Incident", "web1", "7K3F"): False,
    ("Why502Incident", "web1", "8Q2Z"): True,
    ("Why502Incident", "web1", ""): True,
    ("Why502TargetDown", "web1", ""): True,
    ("Why502BudgetFast", "web1", ""): True,
    ("Why502TargetDown", "web2", ""): False,
    ("Why502NotDelivered", "web1", ""): False,
}


def muted(running: Running) -> dict[tuple[str, str, str], bool]:
    """Return for each alert, by name, host and incident, whether Alertmanager mutes it. It decides a moment after it took one."""
    return {
        (one["labels"]["alertname"], one["labels"]["host"], one["labels"].get("incident", "")): bool(one["status"]["inhibitedBy"])
        for one in running.alerts()
    }


@real
def test_our_alerts_mute_those_of_the_rules_and_of_their_effects(tmp_path: Path) -> None:
    """With the configuration that `why502 generate alertmanager` prints."""
    on_target = {"host": "web1", "proxy": "nginx", "target": "127.0.0.1:3001", "severity": "page"}
    of_rules = [
        {"alertname": "Why502Incident", "cause": "wrong-port", **on_target},
        {"alertname": "Why502TargetDown", **on_target},
        {"alertname": "Why502BudgetFast", "host": "web1", "proxy": "nginx", "location": "shop.example/", "severity": "page"},
        {"alertname": "Why502TargetDown", **on_target, "host": "web2"},
        {"alertname": "Why502NotDelivered", "host": "web1", "severity": "page"},
    ]
    with alertmanager(tmp_path / "am", inhibition.alertmanager()) as running:
        effect = now_incident(id="8Q2Z")
        effect = msgspec.structs.replace(
            effect,
            diagnosed=(
                Diagnosed(at=effect.opened_at, occasion=Occasion.OPENED, finding=finding("backend-not-running", Layer.UPSTREAM)),
            ),
        )
        Ours(running.url).turn(now_incident(), effect)
        body = json.dumps([{"labels": labels} for labels in of_rules]).encode()
        request = urllib.request.Request(f"{running.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=5).close()
        eventually(lambda: muted(running) == MUTED)


@real
@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_strangers_is_taken_and_changes_nothing(running: Running, text: str) -> None:
    ours = Ours(running.url)
    ours.turn(msgspec.structs.replace(hostile(text), opened_at=datetime.now(UTC)))
    (alert,) = running.alerts()
    assert ours.notes == []
    everything = json.dumps(alert, ensure_ascii=False)
    assert not any(mention in everything for mention in ("<!", "<@", "<#", "@channel", "@here", "@everyone"))
    assert not any(sign in everything for sign in ("\\r", "\\u001b", "\\u0000", "\x9b", "\u202e"))
    assert all(len(value) <= 200 for value in alert["labels"].values())
    assert set(alert["labels"]) <= {
        "alertname",
        "host",
        "proxy",
        "cause",
        "fault_domain",
        "target",
        "location",
        "severity",
        "incident",
        "team",
    }


@real
def test_what_alertmanager_refuses_is_noted_once(running: Running) -> None:
    store, notes = MemoryStore(), []
    store.incidents["7K3F"] = now_incident()
    clock = Clock()
    around = Surroundings(source=store, put=store.put, note=notes.append, monotonic_s=lambda: clock.monotonic_s)
    settings = Settings(name="am", urls=(running.url,))
    msgspec.structs.force_setattr(settings, "link", "::no link")  # its check does not let it through
    (turns,) = (Repetition(one, around) for one in make(settings))
    for wait_s in (1.0, 2.0, 4.0):
        assert turns.turn() == wait_s
        clock.pass_s(wait_s)
    (note,) = notes
    assert "answered 4" in note
    assert "generatorURL" in note


@real
def test_the_webhooks_form_is_that_of_alertmanager(running: Running, hook: Server) -> None:
    one = now_incident()
    Ours(running.url).turn(one)
    (theirs,) = [received.json for received in hook.wait_for(len)]
    ours = json.loads(msgspec.json.encode(version_4(notice(one), "hook")))
    assert set(ours) == set(theirs)
    assert {name: type(value) for name, value in ours.items()} == {name: type(value) for name, value in theirs.items()}
    assert set(ours["alerts"][0]) == set(theirs["alerts"][0])
    same = ("version", "status", "receiver", "groupLabels", "commonLabels", "groupKey", "truncatedAlerts")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    for name in ("status", "labels", "startsAt", "endsAt"):
        assert ours["alerts"][0][name] == theirs["alerts"][0][name], name


def prepared(*incidents: Incident, held: tuple[str, ...] = ()) -> Alertmanager:
    (sender,) = make(Settings(name="am", urls=("http://127.0.0.1:9",)))
    sender.prepare([notice(one) for one in incidents], held, incidents[0].opened_at)
    return sender


def test_an_incident_that_another_one_causes_is_not_sent_but_what_was_sent_stays() -> None:
    with serving(answer()) as server:
        (sender,) = make(Settings(name="am", urls=(server.url,)))
        one = incident()
        at = one.opened_at
        assert sender.prepare([notice(one)], {one.id}, at) == (frozenset(), frozenset())
        told = sender.prepare([notice(one)], (), at)
        assert sender.prepare([notice(one)], {one.id}, at) == told


def test_a_changed_severity_ends_the_old_alert() -> None:
    with serving(answer()) as server:
        (sender,) = make(Settings(name="am", urls=(server.url,)))
        one = incident(severity=Severity.TICKET)
        sender.prepare([notice(one)], (), one.opened_at)
        at = one.opened_at + timedelta(seconds=30)
        sender.prepare([notice(msgspec.structs.replace(one, severity=Severity.PAGE))], (), at)
        sender.repeat(at)
        ended, firing = server.received[0].json
        assert (ended["labels"]["severity"], ended["endsAt"]) == ("ticket", "2026-11-23T03:13:00Z")
        assert (firing["labels"]["severity"], firing["endsAt"]) == ("page", "2026-11-23T03:17:00Z")
        assert ended["startsAt"] == firing["startsAt"]


def test_an_end_is_repeated_for_a_quarter_of_an_hour() -> None:
    with serving(answer()) as server:
        (sender,) = make(Settings(name="am", urls=(server.url,)))
        one = closed(incident(), 60)
        assert one.closed_at
        for minutes in (1, 14, 16):
            at = one.closed_at + timedelta(minutes=minutes)
            sender.prepare([notice(one)], (), at)
            sender.repeat(at)
        assert [len(received.json) for received in server.received] == [1, 1]
        assert {received.json[0]["endsAt"] for received in server.received} == {"2026-11-23T03:13:30Z"}


def test_no_label_has_a_number_that_changes() -> None:
    one = incident(diagnosed=(diagnosed(finding()),))
    later = msgspec.structs.replace(
        one,
        failures=5000,
        last_failure_at=one.opened_at + timedelta(hours=1),
        diagnosed=(diagnosed(finding(confidence=0.71), 300),),
    )
    (first,) = prepared(one).prepare([notice(one)], (), one.opened_at)[0]
    (second,) = prepared(later).prepare([notice(later)], (), one.opened_at)[0]
    assert first == second


def test_nobody_is_told_of_an_incident_before_its_cause_was_looked_for() -> None:
    with serving(answer()) as server:
        ours = Ours(server.url)
        looked_for = now_incident(diagnosed=(), messages=0)
        ours.turn(looked_for)
        ours.turn(closed(looked_for))
        assert [received.json for received in server.received if received.json] == []
        ours.turn(now_incident(id="8Q2Z"))
        assert [alert["labels"]["cause"] for alert in server.received[-1].json] == ["wrong-port"]


def test_an_alert_that_an_earlier_process_sent_with_another_cause_ends() -> None:
    one = incident(diagnosed=(diagnosed(finding()), diagnosed(finding("backend-crashed", Layer.UPSTREAM), 60)))
    (sender,) = make(Settings(name="am", urls=("http://127.0.0.1:9",)))
    firing, ended = sender.prepare([notice(one)], (), one.opened_at + timedelta(minutes=2))
    assert [dict(labels)["cause"] for labels in (*firing, *ended)] == ["backend-crashed", "wrong-port"]
    firing, ended = sender.prepare([notice(one)], (), one.opened_at + timedelta(minutes=20))
    assert [dict(labels)["cause"] for labels in (*firing, *ended)] == ["backend-crashed"]
