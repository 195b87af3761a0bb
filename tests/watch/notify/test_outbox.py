"""Delivery: at least once with the same key, in the face of receivers that refuse and daemons that are killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from notify_scenes import AT, Clock, MemoryStore, closed, diagnosed, eventually, finding, incident, serving

from why502.model.errors import Why502Error
from why502.model.finding import Layer
from why502.watch.model import Incident, Message, Severity, Transition
from why502.watch.notify.alertmanager.settings import Settings as AlertmanagerSettings
from why502.watch.notify.base import Field, Notice, Undelivered
from why502.watch.notify.settings import receivers
from why502.watch.notify.silence import Silence
from why502.watch.notify.webhook.settings import Settings
from why502.watch.outbox import Delivery, Outbox, Surroundings, messages

SETTINGS = Settings(name="ops", url="http://127.0.0.1:9/")


@dataclass
class Recording:
    """A receiver that fails as told, then takes everything."""

    failures: list[Exception] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    settings: Settings = SETTINGS

    def send(self, notice: Notice) -> str:
        self.notices.append(notice)
        if self.failures:
            raise self.failures.pop(0)
        return f"thread of {notice.incident.id}"

    def keys(self) -> list[tuple[str, ...]]:
        return [notice.keys for notice in self.notices]


@dataclass
class Scene:
    """One receiver, its store, and a clock that is moved by hand."""

    receiver: Recording = field(default_factory=Recording)
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)
    silences: list[Silence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew with what the store has."""
        self.around = Surroundings(
            source=self.store,
            put=self.store.put,
            is_silenced=lambda one, at: any(silence.covers(one, at) for silence in self.silences),
            note=self.notes.append,
            now=self.clock.now,
            monotonic_s=lambda: self.clock.monotonic_s,
        )
        self.delivery = Delivery(self.receiver, self.around)

    def happens(self, one: Incident, transition: Transition, number: int) -> None:
        self.store.add(*messages(one, transition, number, [self.receiver.settings], self.clock.now()))

    def turn(self) -> float:
        """Take one turn, and let the time go by that it asks for."""
        wait_s = self.delivery.turn()
        self.clock.pass_s(wait_s)
        return wait_s

    def turns(self, seconds: float) -> None:
        until_s = self.clock.monotonic_s + seconds
        while self.clock.monotonic_s < until_s:
            self.turn()


def with_news(one: Incident) -> Incident:
    return msgspec.structs.replace(one, severity=Severity.TICKET)


def refused() -> Undelivered:
    return Undelivered("127.0.0.1:9: connection refused")


def test_each_transition_is_sent_once_in_order_and_its_thread_is_kept() -> None:
    scene = Scene()
    one = incident()
    for number, (transition, state) in enumerate(
        [(Transition.OPENED, one), (Transition.UPDATED, with_news(one)), (Transition.RESOLVED, closed(one))], start=1
    ):
        scene.happens(state, transition, number)
        scene.turns(10)
    assert scene.receiver.keys() == [("7K3F.1",), ("7K3F.2",), ("7K3F.3",)]
    assert [notice.transition for notice in scene.receiver.notices] == [
        Transition.OPENED,
        Transition.UPDATED,
        Transition.RESOLVED,
    ]
    assert [notice.is_first for notice in scene.receiver.notices] == [True, False, False]
    assert [notice.thread for notice in scene.receiver.notices] == ["", "thread of 7K3F", "thread of 7K3F"]
    assert not scene.store.pending("ops", AT + timedelta(days=1))
    assert scene.around.outcomes == {("ops", "sent"): 3}


def test_an_incident_that_opened_and_ended_while_the_receiver_was_down_is_one_message() -> None:
    scene = Scene(Recording(failures=[refused() for _ in range(4)]))
    one = incident()
    scene.happens(one, Transition.OPENED, 1)
    scene.turns(5)
    scene.happens(closed(one), Transition.RESOLVED, 2)
    scene.turns(300)
    notice = scene.receiver.notices[-1]
    assert scene.receiver.failures == []
    assert notice.keys == ("7K3F.1", "7K3F.2")
    assert (notice.transition, notice.is_first) == (Transition.RESOLVED, True)
    assert len([one for one in scene.receiver.notices if one.keys == notice.keys]) >= 1
    assert not scene.store.pending("ops", AT + timedelta(days=1))


def test_a_failure_is_tried_again_after_twice_the_time_a_minute_at_most() -> None:
    scene = Scene(Recording(failures=[refused() for _ in range(9)]))
    scene.happens(incident(), Transition.OPENED, 1)
    assert [scene.turn() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert scene.turn() == 1
    (message,) = scene.store.messages.values()
    assert (message.tries, message.error) == (10, "")
    assert scene.notes == [
        "receiver ops: not delivered, will try again: 127.0.0.1:9: connection refused",
        "receiver ops: works again",
    ]


def test_the_receiver_decides_how_long_it_is_left_alone() -> None:
    scene = Scene(Recording(failures=[Undelivered("busy", retry_after_s=300)]))
    scene.happens(incident(), Transition.OPENED, 1)
    assert scene.turn() == 300
    scene.turn()
    assert [notice.at - AT for notice in scene.receiver.notices] == [timedelta(), timedelta(seconds=300)]


def test_another_message_does_not_wait_for_one_that_the_receiver_cannot_digest() -> None:
    scene = Scene()
    failing = scene.receiver.send

    def send(notice: Notice) -> str:
        thread = failing(notice)
        if notice.incident.id == "BAD":
            raise Undelivered("answered 500")
        return thread

    scene.receiver.send = send  # type: ignore[method-assign]
    scene.happens(incident(id="BAD"), Transition.OPENED, 1)
    scene.turn()
    scene.happens(incident(id="GOOD"), Transition.OPENED, 1)
    scene.turn()
    assert scene.receiver.keys() == [("BAD.1",), ("GOOD.1",)]


def test_what_is_refused_for_good_is_not_sent_again_and_keeps_its_reason() -> None:
    scene = Scene(Recording(failures=[Undelivered("answered 400: no such field", is_final=True)]))
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turns(120)
    assert len(scene.receiver.notices) == 1
    (message,) = scene.store.messages.values()
    assert message.error == "answered 400: no such field"
    assert message.sent_at
    assert scene.around.outcomes == {("ops", "refused"): 1}
    scene.happens(closed(incident()), Transition.RESOLVED, 2)  # it was never told of it
    scene.turn()
    assert scene.receiver.notices[-1].is_first


def test_messages_to_one_receiver_are_a_second_apart() -> None:
    scene = Scene()
    for number in range(5):
        scene.happens(incident(id=f"I{number}"), Transition.OPENED, 1)
    while len(scene.receiver.notices) < 5:
        scene.delivery.turn()
        scene.clock.pass_s(0.1)
    times = [notice.at for notice in scene.receiver.notices]
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(times))


@pytest.mark.parametrize("step", [-3600, 3600, -86400 * 365])
def test_a_step_of_the_clock_delays_nothing(step: float) -> None:
    scene = Scene(Recording(failures=[refused()]))
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turn()
    scene.clock.at += timedelta(seconds=step)
    scene.turn()
    assert [len(notice.keys) for notice in scene.receiver.notices] == [1, 1]
    assert not scene.store.pending("ops", AT + timedelta(days=1))


def test_the_order_of_transitions_is_that_of_their_numbers_whatever_the_clock_says() -> None:
    scene = Scene()
    for number in range(1, 12):
        is_over = number == 11
        scene.happens(
            closed(incident()) if is_over else incident(), Transition.RESOLVED if is_over else Transition.REOPENED, number
        )
        scene.clock.at -= timedelta(hours=1)
    scene.turn()
    (notice,) = scene.receiver.notices
    assert notice.keys == tuple(f"7K3F.{number}" for number in range(1, 12))
    assert notice.transition is Transition.RESOLVED


class Killed(BaseException):
    """The daemon ends here, as by SIGKILL."""


def before_sending(scene: Scene) -> None:
    def send(_: Notice) -> str:
        raise Killed

    scene.delivery._receiver = type("Dying", (), {"settings": SETTINGS, "send": staticmethod(send)})()  # type: ignore[assignment]


def before_the_answer_is_kept(scene: Scene) -> None:
    def put(_: Message) -> None:
        raise Killed

    scene.around.put = put


def before_the_commit(scene: Scene) -> None:
    scene.store.is_holding = True


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(
    ("kill", "times"),
    [(before_sending, 1), (before_the_answer_is_kept, 2), (before_the_commit, 2)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_killed_daemon_sends_each_transition_at_least_once_with_the_same_key(
    kill: Callable[[Scene], None], times: int, number: int
) -> None:
    """Twice only if it was killed between the receiver's answer and our commit."""
    scene = Scene()
    one = incident()
    steps = [(Transition.OPENED, one), (Transition.UPDATED, with_news(one)), (Transition.RESOLVED, closed(one))]
    for at, (transition, state) in enumerate(steps, start=1):
        scene.happens(state, transition, at)
        if at == number:
            kill(scene)
            try:
                scene.turn()
                scene.turn()
            except Killed:
                pass
            scene.store.is_holding = False
            scene.store.held.clear()
            scene.restart()
        scene.turns(10)
    expected = [(f"7K3F.{at}",) for at in (1, 2, 3) for _ in range(times if at == number else 1)]
    assert scene.receiver.keys() == expected
    same = [notice for notice in scene.receiver.notices if notice.keys == (f"7K3F.{number}",)]
    assert len({(notice.transition, notice.is_first, notice.thread) for notice in same}) == 1


def test_what_waits_for_the_commit_is_not_sent_twice() -> None:
    scene = Scene()
    scene.store.is_holding = True
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turns(30)
    assert len(scene.receiver.notices) == 1
    scene.store.is_holding = False
    for message in scene.store.held:
        scene.store.put(message)
    scene.turns(30)
    assert len(scene.receiver.notices) == 1


def test_new_settings_repeat_nothing_that_waits_for_the_commit() -> None:
    store, first, second = MemoryStore(is_holding=True), Recording(), Recording()
    around = Surroundings(source=store, put=store.put)
    store.add(*messages(incident(), Transition.OPENED, 1, [SETTINGS], AT))
    before = Outbox([first], around)
    with Running(before):
        eventually(lambda: store.held)
    after = Outbox([second], around, before)
    store.add(*messages(closed(incident()), Transition.RESOLVED, 2, [SETTINGS], AT))
    with Running(after):
        after.wake()
        eventually(lambda: second.notices)
    assert (first.keys(), second.keys()) == ([("7K3F.1",)], [("7K3F.2",)])
    assert second.notices[0].thread == "thread of 7K3F"


def silence(**changes: object) -> Silence:
    values = {
        "match": {Field.TARGET: "127.0.0.1:*"},
        "since": AT - timedelta(hours=1),
        "until": AT + timedelta(minutes=10),
        "reason": "moving the backend",
    }
    return Silence(**{**values, **changes})  # type: ignore[arg-type]


def test_a_silenced_incident_is_sent_when_the_silence_ends_if_it_is_still_open() -> None:
    scene = Scene(silences=[silence()])
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turns(590)
    assert scene.receiver.notices == []
    scene.turns(30)
    assert scene.receiver.keys() == [("7K3F.1",)]


def test_a_silenced_incident_that_ends_is_recorded_and_not_sent() -> None:
    scene = Scene(silences=[silence()])
    scene.happens(incident(), Transition.OPENED, 1)
    scene.happens(closed(incident()), Transition.RESOLVED, 2)
    scene.turns(3600)
    assert scene.receiver.notices == []
    assert {message.error for message in scene.store.messages.values()} == {"silenced"}
    assert scene.around.outcomes == {("ops", "silenced"): 1}


def test_the_end_of_an_incident_is_sent_in_a_silence_to_whoever_was_told_of_its_start() -> None:
    scene = Scene()
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turn()
    scene.silences.append(silence())
    scene.restart()
    scene.happens(closed(incident()), Transition.RESOLVED, 2)
    scene.turn()
    assert scene.receiver.keys() == [("7K3F.1",), ("7K3F.2",)]


def test_a_store_that_cannot_be_read_stops_nobody() -> None:
    store = MemoryStore()
    pending, fails = store.pending, [Why502Error("watch.db: disk I/O error")]

    def failing(receiver: str, now: object) -> list[Message]:
        if fails:
            raise fails.pop()
        return pending(receiver, AT)

    store.pending = failing  # type: ignore[method-assign]
    receiver, notes = Recording(), []
    outbox = Outbox([receiver], Surroundings(source=store, put=store.put, note=notes.append))
    with Running(outbox):
        eventually(lambda: notes)
        store.add(*messages(incident(), Transition.OPENED, 1, [SETTINGS], AT))
        outbox.wake()
        eventually(lambda: receiver.notices)
    assert notes == ["receiver ops: watch.db: disk I/O error"]


class Running:
    """Runs an outbox as the daemon does, and stops it at the end."""

    def __init__(self, outbox: Outbox) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=outbox.run, args=(self.stop,))

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        started_s = time.monotonic()
        self.stop.set()
        self.thread.join(30)
        self.took_s = time.monotonic() - started_s
        assert not self.thread.is_alive()


@pytest.mark.thorough
def test_a_receiver_that_hangs_delays_neither_the_others_nor_the_end() -> None:
    with serving() as stuck, serving() as quick:
        stuck.answers = [stuck.hang]
        settings = (
            Settings(name="stuck", url=stuck.url, timeout_s=60.0),
            Settings(name="quick", url=quick.url),
            AlertmanagerSettings(name="am", urls=(quick.url,)),
        )
        store = MemoryStore()
        store.add(*messages(incident(), Transition.OPENED, 1, settings, AT))
        with Running(Outbox(receivers(settings), Surroundings(source=store, put=store.put))) as run:
            stuck.wait_for(len)
            quick.wait_for(lambda all_: {one.path for one in all_} == {"/", "/api/v2/alerts"})
        assert run.took_s < 9
        assert [one.receiver for one in store.messages.values() if not one.sent_at] == ["stuck"]


def test_whoever_was_committed_to_is_woken() -> None:
    store, receiver = MemoryStore(), Recording()
    outbox = Outbox([receiver], Surroundings(source=store, put=store.put))
    with Running(outbox):
        started_s = time.monotonic()
        store.add(*messages(incident(), Transition.OPENED, 1, [SETTINGS], AT))
        outbox.wake()
        eventually(lambda: receiver.notices)
        assert time.monotonic() - started_s < 4.5  # not only at the next look


def wanting(**changes: object) -> Settings:
    return msgspec.convert({"kind": "webhook", "name": "ops", "url": "http://127.0.0.1:9/", **changes}, Settings)


@pytest.mark.parametrize(
    ("asked", "one", "is_sent"),
    [
        ({}, incident(), True),
        ({}, incident(severity=Severity.NONE), False),
        ({"severities": ["page"]}, incident(severity=Severity.TICKET), False),
        ({"severities": ["none"]}, incident(severity=Severity.NONE), True),
        ({"fault_domains": ["proxy"]}, incident(), True),
        ({"fault_domains": ["network"]}, incident(), False),
        ({"fault_domains": ["network"]}, incident(diagnosed=()), True),  # nobody can tell whose it is
        ({"match": {"proxy": "ngin*", "target": ["10.*", "127.*"]}}, incident(), True),
        ({"match": {"proxy": "ngin*", "target": ["10.*"]}}, incident(), False),
        ({"match": {"target": "10.*"}}, incident(targets=("10.0.0.1:80",)), True),
        ({"match": {"location": "shop.example/*"}}, incident(), True),
        ({"match": {"cause": "backend-*"}}, incident(), False),
    ],
)
def test_a_receiver_is_sent_what_it_asks_for(asked: dict[str, object], one: Incident, is_sent: bool) -> None:
    assert bool(messages(one, Transition.OPENED, 1, [wanting(**asked)], AT)) is is_sent


def test_whoever_was_told_of_an_incident_is_told_of_its_end_whatever_became_of_it() -> None:
    scene = Scene(Recording(settings=wanting(fault_domains=["proxy"], severities=["page"])))
    other = (diagnosed(finding("backend-crashed", Layer.UPSTREAM), 300),)
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turn()
    ended = msgspec.structs.replace(closed(incident()), diagnosed=other, severity=Severity.NONE)
    scene.happens(ended, Transition.RESOLVED, 2)
    scene.turns(10)
    assert scene.receiver.keys() == [("7K3F.1",), ("7K3F.2",)]


def test_who_was_not_told_and_does_not_ask_for_it_is_not_told_of_its_end() -> None:
    scene = Scene(Recording(settings=wanting(fault_domains=["network"])))
    scene.happens(incident(), Transition.OPENED, 1)
    scene.happens(closed(incident()), Transition.RESOLVED, 2)
    scene.turns(10)
    assert scene.receiver.notices == []
    assert not scene.store.pending("ops", AT + timedelta(days=1))


def test_an_incident_that_becomes_what_a_receiver_asks_for_is_new_to_it() -> None:
    scene = Scene(Recording(settings=wanting(severities=["page"])))
    scene.happens(incident(severity=Severity.TICKET), Transition.OPENED, 1)
    scene.turns(10)
    scene.happens(incident(severity=Severity.PAGE), Transition.UPDATED, 2)
    scene.turns(10)
    (notice,) = scene.receiver.notices
    assert (notice.transition, notice.is_first, notice.keys) == (Transition.OPENED, True, ("7K3F.2",))


def test_an_update_without_news_is_no_message() -> None:
    scene = Scene()
    one = incident()
    scene.happens(one, Transition.OPENED, 1)
    scene.turn()
    scene.happens(msgspec.structs.replace(one, failures=900), Transition.UPDATED, 2)
    scene.restart()
    scene.turns(10)
    assert scene.receiver.keys() == [("7K3F.1",)]
    found = (*one.diagnosed, diagnosed(finding("backend-crashed", Layer.UPSTREAM), 300))
    scene.happens(msgspec.structs.replace(one, diagnosed=found), Transition.UPDATED, 3)
    scene.turns(10)
    assert scene.receiver.keys() == [("7K3F.1",), ("7K3F.3",)]
    assert not scene.store.pending("ops", AT + timedelta(days=1))


def test_updates_and_quiet_notes_can_be_left_out_but_never_the_end() -> None:
    loud, quiet = wanting(send_updates=False), wanting(send_quiet=False)
    for transition, by_updates, by_quiet in (
        (Transition.UPDATED, False, False),
        (Transition.REOPENED, True, False),
        (Transition.RESOLVED, True, True),
    ):
        assert bool(messages(incident(), transition, 2, [loud], AT, is_quiet=True)) is by_updates
        assert bool(messages(incident(), transition, 2, [quiet], AT, is_quiet=True)) is by_quiet
        assert messages(incident(), transition, 2, [quiet], AT) != ()


def test_a_message_is_quiet_if_all_that_it_tells_is() -> None:
    scene = Scene()
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turn()
    for number, is_quiet in ((2, True), (3, False)):
        scene.store.add(*messages(incident(), Transition.REOPENED, number, [SETTINGS], scene.clock.now(), is_quiet))
    scene.turn()
    scene.store.add(*messages(incident(), Transition.REOPENED, 4, [SETTINGS], scene.clock.now(), is_quiet=True))
    scene.turn()
    assert [notice.is_quiet for notice in scene.receiver.notices] == [False, False, True]


def test_the_link_of_a_message_is_the_page_of_its_incident() -> None:
    scene = Scene(Recording(settings=wanting(link="https://why502.example/incidents/{incident}")))
    scene.happens(incident(id="7K 3F"), Transition.OPENED, 1)
    scene.turn()
    assert scene.receiver.notices[0].link == "https://why502.example/incidents/7K%203F"


def test_alertmanagers_are_sent_the_state_and_no_messages() -> None:
    assert not messages(incident(), Transition.OPENED, 1, [AlertmanagerSettings(name="am", urls=("http://127.0.0.1:9",))], AT)


def test_a_remark_about_why502_itself_is_in_every_message() -> None:
    scene = Scene()
    scene.around.remark = lambda: "The logs are read 95 s late."
    scene.happens(incident(), Transition.OPENED, 1)
    scene.turn()
    assert scene.receiver.notices[0].remark == "The logs are read 95 s late."


def test_what_became_of_the_states_that_alertmanagers_were_sent_is_counted() -> None:
    with serving() as good:
        urls = (good.url, "http://127.0.0.1:9")
        settings = (AlertmanagerSettings(name="am", urls=urls), Settings(name="hook", url=good.url))
        store = MemoryStore()
        store.add(*messages(incident(), Transition.OPENED, 1, settings, AT))
        around = Surroundings(source=store, put=store.put)
        outbox = Outbox(receivers(settings), around)
        with Running(outbox):
            eventually(lambda: len(around.outcomes) == 3)
    names = [f"am at {url.removeprefix('http://')}" for url in urls]
    assert outbox.repeating == tuple(names)
    assert around.outcomes[names[0], "sent"] >= 1
    assert around.outcomes[names[1], "failed"] >= 1
