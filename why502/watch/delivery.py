"""The receivers of the settings in force: which messages they get, and the threads that deliver them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from why502.watch.model import Incident, Message
from why502.watch.notify.heartbeat import Heartbeat
from why502.watch.notify.settings import receivers
from why502.watch.outbox import Outbox, Surroundings, messages
from why502.watch.progress import LONGEST_S, Progress
from why502.watch.settings import Settings
from why502.watch.state.values import Notify
from why502.watch.store import Store

LEAVE_S = 6.0


@dataclass(frozen=True, slots=True)
class StoreSource:
    """The store as the outbox reads it."""

    store: Store

    def pending(self, receiver: str, now: datetime) -> Sequence[Message]:
        """Return the messages to a receiver that were not settled, and are to be tried by then."""
        return self.store.pending(receiver, now)

    def last_sent(self, receiver: str, incident: str) -> Message | None:
        """Return the newest message about an incident that a receiver took."""
        taken = [message for message in self.store.sent(receiver, incident) if not message.error]
        return taken[-1] if taken else None

    def current(self, closed_after: datetime) -> Sequence[Incident]:
        """Return the incidents that are open, or were closed after a time."""
        return self.store.incidents(since=closed_after, limit=1000)


class Deliveries:
    """Delivers to the receivers of some settings until it is stopped. `before`: the one that it replaces, already stopped."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        put: Callable[[Message], None],
        note: Callable[[str], None],
        remark: Callable[[], str],
        progress: Progress,
        now: Callable[[], datetime],
        before: Deliveries | None = None,
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._beaten: set[str] = set()
        self._stop = threading.Event()
        self.around = Surroundings(
            source=StoreSource(store),
            put=put,
            is_silenced=self.is_silenced,
            remark=remark,
            note=note,
            beat=self._beat,
            now=now,
        )
        self._outbox: Outbox = Outbox(receivers(settings.receivers), self.around, before._outbox if before else None)
        self._threads = [threading.Thread(target=self._outbox.run, args=(self._stop,), name="outbox", daemon=True)]
        if settings.heartbeat is not None:
            ping = Heartbeat(settings.heartbeat, progress.late, note)
            self._threads.append(threading.Thread(target=ping.run, args=(self._stop,), name="heartbeat", daemon=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the receivers."""
        kept = (one.name for one in self._settings.receivers if one.takes_messages)
        return (*kept, *self._outbox.repeating)

    @property
    def repeated(self) -> dict[tuple[str, str], int]:
        """Return how often each receiver without messages was sent the state, by its name and the outcome."""
        names = set(self._outbox.repeating)
        return {key: count for key, count in dict(self.around.outcomes).items() if key[0] in names}

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look at once: something was committed."""
        self._outbox.wake()

    def stop(self, timeout_s: float = LEAVE_S) -> None:
        """End; what is on the wire is given a few seconds."""
        self._stop.set()
        self._threads[0].join(timeout_s)
        for name in tuple(self._beaten):
            self._progress.end(name)

    def _beat(self, name: str, /, within_s: float = LONGEST_S, *, is_curable: bool = True) -> None:
        self._beaten.add(name)
        if not self._stop.is_set():
            self._progress.beat(name, within_s, is_curable=is_curable)

    def is_silenced(self, incident: Incident, at: datetime) -> bool:
        """Return whether nobody is to be told of an incident now."""
        return any(silence.covers(incident, at) for silence in self._settings.silences)

    def address(self, notice: Notify, at: datetime) -> list[Message]:
        """Return the messages about a transition, one for each receiver that asks for it."""
        return list(messages(notice.incident, notice.transition, notice.number, self._settings.receivers, at, notice.is_quiet))
