"""Delivers messages: each transition of an incident to each receiver at least once, always with the same key.

Every receiver has a thread, so that one that hangs delays no other. What a receiver was not told yet is one message, however many
transitions there were. Results go to `put` as `Message` values; whoever writes the store commits them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from msgspec.structs import replace

from why502.model.errors import Why502Error
from why502.watch.model import Incident, Message, Transition
from why502.watch.notify.alertmanager.receiver import REPEATED
from why502.watch.notify.base import Notice, Receiver, ReceiverSettings, Repeater, Undelivered
from why502.watch.progress import Beat, ignore_beat

SPACING_S = 1.0  # between two messages to one receiver
IDLE_S = 5.0  # between two looks, if nobody calls wake()
REPEAT_S = 60.0  # between two repetitions of the state
LONGEST_BACKOFF_S = 60.0
LEAVE_S = 5.0  # for what is on the wire at the end
SEND_S = 120.0  # within which a delivery ends, whatever its time limit is
EVERYTHING = datetime(9998, 12, 31, tzinfo=UTC)  # pending until then: when to try again is decided here
_REMEMBERED = 1000  # threads of incidents in memory


class Source(Protocol):
    """What is read of the store, from several threads."""

    def pending(self, receiver: str, now: datetime) -> Sequence[Message]:
        """Return the messages to a receiver that were not settled, and are to be tried by then."""

    def last_sent(self, receiver: str, incident: str) -> Message | None:
        """Return the newest message about an incident that a receiver took."""

    def current(self, closed_after: datetime) -> Sequence[Incident]:
        """Return the incidents that are open, or were closed after a time."""


def messages(
    incident: Incident,
    transition: Transition,
    number: int,
    settings: Sequence[ReceiverSettings],
    at: datetime,
    is_quiet: bool = False,
) -> tuple[Message, ...]:
    """Return the messages about the transition of that number of an incident, from 1 on: one for each receiver that asks for it.

    After the first, whoever was told before may have to be told: that is decided when it is sent. Alertmanagers get none: they
    are sent the state.
    """
    return tuple(
        Message(
            key=f"{incident.id}.{number}",
            receiver=one.name,
            transition=transition,
            incident=incident,
            made_at=at,
            is_quiet=is_quiet,
        )
        for one in settings
        if one.takes_messages and (number > 1 or one.wants(incident)) and _is_sent(one, transition, is_quiet)
    )


def _is_sent(one: ReceiverSettings, transition: Transition, is_quiet: bool) -> bool:
    """Return whether a receiver asks for a transition. The end of an incident is asked for by all."""
    if transition is Transition.RESOLVED:
        return True
    return (one.send_updates or transition is not Transition.UPDATED) and (one.send_quiet or not is_quiet)


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """What deliveries have in common.

    `is_silenced`: whether an incident is not to be sent at a time. `remark`: what every message must say about why502 itself.
    `beat`: is told the name of a thread that makes progress, and within how many seconds it will do so again. `outcomes`: counts
    by receiver and outcome: sent, failed, refused, silenced.
    """

    source: Source
    put: Callable[[Message], None]
    is_silenced: Callable[[Incident, datetime], bool] = lambda *_: False
    remark: Callable[[], str] = lambda: ""
    note: Callable[[str], None] = lambda _: None
    beat: Beat = ignore_beat
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic_s: Callable[[], float] = time.monotonic
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)


class Backoff:
    """How long a receiver is left alone after failures: 1 s, twice as long each time, 60 s at most, or as it asks for."""

    def __init__(self, name: str, around: Surroundings) -> None:
        self._name = name
        self._around = around
        self._failures = 0
        self._until_s = 0.0
        self._reason = ""

    def left_s(self) -> float:
        """Return how long it is still left alone."""
        return max(0.0, self._until_s - self._around.monotonic_s())

    def failed(self, error: Undelivered) -> float:
        """Take a failure. Return how long the receiver is left alone."""
        wait_s = min(LONGEST_BACKOFF_S, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        if error.retry_after_s is not None:
            wait_s = max(error.retry_after_s, SPACING_S)
        self._until_s = self._around.monotonic_s() + wait_s
        self._around.outcomes[self._name, "failed"] += 1
        if error.reason != self._reason:  # once, not at every try
            self._around.note(f"receiver {self._name}: not delivered, will try again: {error.reason}")
        self._reason = error.reason
        return wait_s

    def succeeded(self) -> None:
        """Take a success."""
        if self._reason:
            self._around.note(f"receiver {self._name}: works again")
        self._failures, self._reason, self._until_s = 0, "", 0.0
        self._around.outcomes[self._name, "sent"] += 1


def _news(incident: Incident) -> tuple[object, ...]:
    """Return of an incident what an update is worth a message for."""
    proposal = incident.proposal
    fix = (proposal.diff, proposal.is_valid) if proposal else None
    return incident.cause, incident.fault_domain, incident.severity, fix, incident.caused_by, len(incident.targets)


def _link(settings: ReceiverSettings, incident: Incident) -> str:
    return settings.link.replace("{incident}", quote(incident.id, safe="")) if settings.link else ""


class Delivery:
    """The messages to one receiver."""

    def __init__(self, receiver: Receiver, around: Surroundings) -> None:
        self.name = receiver.settings.name
        self._receiver = receiver
        self._around = around
        self._backoff = Backoff(self.name, around)
        self._settled: set[str] = set()  # keys that the store may not have committed yet
        self._tried: Counter[str] = Counter()  # by incident
        self._told: dict[str, Message] = {}  # the newest message that was taken, by incident, the latest last
        self._free_s = 0.0  # when the next message may be sent

    def take_over(self, before: Delivery) -> None:
        """Know what an earlier delivery to the same receiver sent: the store may not have committed it yet."""
        self._settled, self._told = set(before._settled), dict(before._told)

    def turn(self) -> float:
        """Send one message, if one is due. Return the seconds until the next turn."""
        if (left_s := max(self._backoff.left_s(), self._free_s - self._around.monotonic_s())) > 0:
            return left_s
        waiting = self._waiting()
        if not waiting:
            return IDLE_S
        # What failed less often first: a message that the receiver cannot digest keeps no other from it.
        group = min(waiting.values(), key=lambda group: (self._tried[group[0].incident.id], group[0].made_at))
        self._send(group)
        self._free_s = self._around.monotonic_s() + SPACING_S
        return max(SPACING_S, self._backoff.left_s())

    def _waiting(self) -> dict[str, list[Message]]:
        """Return the messages that are to be sent, by incident, in the order of their transitions."""
        found = self._around.source.pending(self.name, EVERYTHING)
        self._settled &= {message.key for message in found}
        groups: dict[str, list[Message]] = {}
        for message in sorted(found, key=lambda one: (len(one.key), one.key)):  # not by time: the clock may have been set back
            if message.key not in self._settled:
                groups.setdefault(message.incident.id, []).append(message)
        self._tried = Counter({incident: count for incident, count in self._tried.items() if incident in groups})
        return {incident: group for incident, group in groups.items() if self._is_due(group)}

    def _is_due(self, group: list[Message]) -> bool:
        """Return whether there is something to send now. What never will be sent is settled."""
        incident = group[-1].incident
        last = self._last(incident.id)
        if last is not None:
            if all(one.transition is Transition.UPDATED for one in group) and _news(incident) == _news(last.incident):
                self._settle(group, error="nothing new", tries=0)
                return False
            return True
        if not self._receiver.settings.wants(incident):
            self._settle(group, error="not asked for", tries=0)
            return False
        if not self._around.is_silenced(incident, self._around.now()):
            return True
        if not incident.is_open:  # while it is, it waits for the end of the silence
            self._settle(group, error="silenced", tries=0)
            self._around.outcomes[self.name, "silenced"] += 1
        return False

    def _send(self, group: list[Message]) -> None:
        around = self._around
        incident = group[-1].incident
        last = self._last(incident.id)
        notice = Notice(
            key=group[-1].key,
            keys=tuple(message.key for message in group),
            transitions=tuple(message.transition for message in group),
            incident=incident,
            at=around.now(),
            thread=last.thread if last else "",
            is_first=last is None,
            is_quiet=all(message.is_quiet for message in group),
            remark=around.remark(),
            link=_link(self._receiver.settings, incident),
        )
        around.beat(f"receiver {self.name}", SEND_S)
        try:
            thread = self._receiver.send(notice)
        except Undelivered as error:
            if error.is_final:
                self._settle(group, error=error.reason)
                around.outcomes[self.name, "refused"] += 1
                around.note(f"receiver {self.name}: permanently refused message {notice.key}: {error.reason}")
                return
            wait_s = self._backoff.failed(error)
            self._tried[incident.id] += 1
            again_at = around.now() + timedelta(seconds=wait_s)
            for message in group:
                around.put(replace(message, tries=message.tries + 1, error=error.reason, next_try_at=again_at))
            return
        self._backoff.succeeded()
        self._settle(group, thread=thread)
        self._remember(replace(group[-1], thread=thread))

    def _settle(self, group: list[Message], *, thread: str = "", error: str = "", tries: int = 1) -> None:
        now = self._around.now()
        for message in group:
            self._settled.add(message.key)
            tried = message.tries + tries
            self._around.put(replace(message, tries=tried, next_try_at=None, sent_at=now, thread=thread, error=error))

    def _last(self, incident: str) -> Message | None:
        """Return the newest message about an incident that the receiver took; None if it was never told of it."""
        return self._told.get(incident) or self._around.source.last_sent(self.name, incident)

    def _remember(self, message: Message) -> None:
        self._told.pop(message.incident.id, None)
        self._told[message.incident.id] = message
        if len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]


class Repetition:
    """The state of all incidents for one receiver."""

    def __init__(self, repeater: Repeater, around: Surroundings) -> None:
        self.name = repeater.name
        self._repeater = repeater
        self._around = around
        self._backoff = Backoff(self.name, around)
        self._sent: object = None
        self._sent_at_s = 0.0

    def turn(self) -> float:
        """Send the state, if it changed or a minute went by. Return the seconds until the next turn."""
        if left_s := self._backoff.left_s():
            return left_s
        around = self._around
        now = around.now()
        incidents = around.source.current(now - REPEATED)
        held = {one.id for one in incidents if self._is_held(one, now)}
        state = self._repeater.prepare([self._notice(one, now) for one in incidents], held, now)
        left_s = self._sent_at_s + REPEAT_S - around.monotonic_s()
        if state == self._sent and left_s > 0:
            return min(IDLE_S, left_s)
        around.beat(f"receiver {self.name}", SEND_S)
        try:
            self._repeater.repeat(now)
        except Undelivered as error:
            return self._backoff.failed(error)
        self._backoff.succeeded()
        self._sent, self._sent_at_s = state, around.monotonic_s()
        return SPACING_S

    def _is_held(self, incident: Incident, at: datetime) -> bool:
        """Return whether the receiver is not to be told of an incident: nobody is before its cause was looked for."""
        is_announced = bool(incident.messages) and not incident.caused_by and self._repeater.settings.wants(incident)
        return not is_announced or self._around.is_silenced(incident, at)

    def _notice(self, incident: Incident, at: datetime) -> Notice:
        return Notice(
            key=incident.id,
            keys=(incident.id,),
            transitions=(),
            incident=incident,
            at=at,
            is_first=incident.is_open,
            remark=self._around.remark(),
            link=_link(self._repeater.settings, incident),
        )


class Outbox:
    """All receivers, each in its thread. `before`: the one that this one replaces, already stopped."""

    def __init__(self, receivers: Sequence[Receiver | Repeater], around: Surroundings, before: Outbox | None = None) -> None:
        self._around = around
        self._turns = [Repetition(one, around) if isinstance(one, Repeater) else Delivery(one, around) for one in receivers]
        earlier = {one.name: one for one in before._turns if isinstance(one, Delivery)} if before else {}
        for one in self._turns:
            if isinstance(one, Delivery) and one.name in earlier:
                one.take_over(earlier[one.name])
        self._awake = [threading.Event() for _ in self._turns]
        self._is_leaving = False

    @property
    def repeating(self) -> tuple[str, ...]:
        """Return the names of those that are sent the state again and again."""
        return tuple(one.name for one in self._turns if isinstance(one, Repetition))

    def wake(self) -> None:
        """Have every receiver look now: messages or incidents were committed."""
        for event in self._awake:
            event.set()

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set, then leave within a few seconds.

        A message whose answer does not come by then stays pending: it is sent again after the next start.
        """
        threads = [
            threading.Thread(target=self._deliver, args=(turns, awake), name=f"receiver {turns.name}", daemon=True)
            for turns, awake in zip(self._turns, self._awake, strict=True)
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        self._is_leaving = True
        self.wake()
        until_s = time.monotonic() + LEAVE_S
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _deliver(self, turns: Delivery | Repetition, awake: threading.Event) -> None:
        name = f"receiver {turns.name}"
        while not self._is_leaving:
            awake.clear()
            try:
                wait_s = turns.turn()
            except Why502Error as error:  # of the store
                self._around.note(f"{name}: {error.message}")
                wait_s = IDLE_S
            self._around.beat(name, wait_s + SEND_S)
            if not self._is_leaving:
                awake.wait(wait_s)
