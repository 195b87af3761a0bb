"""Daemon: puts the parts of `why502 watch` together.

Threads read the logs, check the members, follow the gateways, sample limits, record changes, diagnose and deliver. What they find
goes into one queue. The main thread takes it from there, calls the pure `state`, and commits once a second: offsets, counts,
incidents and messages in one transaction.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from why502.host.base import Host
from why502.model.errors import Why502Error
from why502.model.snapshot import Gap, Snapshot
from why502.session.looking import Machine, Scope, find_gateways
from why502.watch import settings as settings_file
from why502.watch import systemd, topology
from why502.watch.changes import ChangeRecorder
from why502.watch.checks.checker import Checker
from why502.watch.configuration import configured, logs, running, served
from why502.watch.delivery import Deliveries
from why502.watch.diagnosing import Answer, Diagnoser
from why502.watch.diagnosis_process import Order
from why502.watch.gateways import FIRST, SOURCES, Gateways
from why502.watch.inbox import Inbox
from why502.watch.limits.sampler import Sampler
from why502.watch.live_view import Recent, View
from why502.watch.metrics.publishing import Publisher
from why502.watch.metrics.settings import MetricsSettings
from why502.watch.metrics.view import MetricsView
from why502.watch.model import Incident, Limit, Member, Message, Observed, Seen, Transition
from why502.watch.options import Options
from why502.watch.progress import Progress
from why502.watch.recorder import Recorder, Todo
from why502.watch.settings import Settings
from why502.watch.state.step import restored
from why502.watch.state.values import Event, Notify, State, Tick
from why502.watch.stock import Own, metrics_view
from why502.watch.store import Store
from why502.watch.store.file import Unavailable
from why502.watch.tailing import Tailer
from why502.watch.tailing.reader import HISTORY_S, Times

COMMIT_S = 1.0
FORECAST = timedelta(days=1)  # the samples of limits that forecasts go on from after a restart
RETRY_S = 5.0  # until a store that could not be opened is tried again
WAKE_S = 0.5  # signals are heeded this soon
WINDOW = timedelta(minutes=15)  # what is older when a log is first seen is not read
STOP_S = 2.0  # for each part to end; all of them together end within 10 s
REMEMBERED = timedelta(days=14)  # so long a closed incident is recognised when it comes back
MOST_REMEMBERED = 2000
LATE_S = 60.0  # a log that is read later than this is mentioned in every message
RECENT_CHANGES = timedelta(hours=1)
MOST_NOTES = 50
ONCE_S = 50.0  # a run of --once ends within a minute


class Shown(Protocol):
    """Where events are shown."""

    def event(self, at: datetime, transition: Transition, incident: Incident) -> None:
        """Show what happened to an incident."""

    def note(self, at: datetime, message: str) -> None:
        """Show a note of the daemon itself."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a thread has to say about itself."""

    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """The gateways are others, or have another configuration."""

    snapshot: Snapshot


Entry = Event | Message | Note | Found | Answer | Seen


class Daemon:
    """All parts of `why502 watch`.

    `start`, `run` and `stop` are called by one thread, `view` by any, `end` and `reload` by any thread or handler of a signal.
    """

    def __init__(
        self,
        options: Options,
        machine: Machine,
        now: Callable[[], datetime],
        shown: Shown,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._machine, self._now, self._shown, self._monotonic = options, machine, now, shown, monotonic
        self._inbox: Inbox[Entry] = Inbox()
        # plain flags, as handlers of signals set them: one that interrupts its thread in an Event would wait for its lock forever
        self._is_ending = False
        self._is_reload_asked = False
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)
        self._recent = Recent()
        self.progress = Progress(clock=monotonic)
        self.is_reload_successful = True
        self._status = ""
        self._committed_s = 0.0
        self._committed_at = now()
        self._lag_s: dict[str, float] = {}
        self._bugs: set[str] = set()
        self._late: tuple[str, ...] = ()  # threads without progress, as last told
        self._asked_s = 0.0  # when the latest diagnosis was asked for
        self._bundle: bytes | None = None  # of the latest diagnosis

    @property
    def is_ending(self) -> bool:
        """Return whether it was told to end."""
        return self._is_ending

    def end(self) -> None:
        """Have `run` return soon."""
        self._is_ending = True

    def reload(self) -> None:
        """Have the settings read again. Several calls before that are one."""
        self._is_reload_asked = True

    # start and end

    def start(self, *, is_once: bool = False) -> None:
        """Read the settings, open the store and start all parts. Raises Why502Error.

        `is_once`: this is one of many short runs. It does not wait while the store is locked by another process or its disk is
        full, and what was logged since the run before is current, as if a daemon had watched.
        """
        threading.excepthook = self._died
        self.settings = settings_file.read(self._options.settings)
        self.store = self._opened(Path(self._options.store or self.settings.store.path), is_patient=not is_once)
        self._host: Host = self._machine.host()
        first = self._look(FIRST)
        self._recorder = Recorder(state=self._restored(), address=self._address, bundle=lambda _: self._bundle)
        self._checker = self._new_checker(first)
        self._gateways = Gateways(
            self._host,
            lambda: self._look(SOURCES),
            self._found,
            self._monotonic,
            self.settings.gateways.every_s,
            self.progress.beat,
        )
        checkpoints = self.store.checkpoints()
        is_continued = is_once and bool(checkpoints)
        self._tailer = Tailer(
            first,
            checkpoints,
            None,
            self._inbox.put,
            times=Times(began_at=time.monotonic() - HISTORY_S) if is_continued else None,
            reread=self._gateways.look_again,
            given=self._logs,
        )
        self._sampler = Sampler(
            self._host,
            first,
            self._sampled,
            is_probing=self._options.is_checking,
            history=self.store.limit_history(self._now() - FORECAST),
            beat=self.progress.beat,
        )
        self._deliveries = self._new_deliveries()
        self._diagnoser = self._new_diagnoser()
        self._changes = ChangeRecorder(
            self._host,
            self._inbox.put,
            self.store.changes(since=self._now() - RECENT_CHANGES),
            earlier=self.store.seen(),
            keep=self._inbox.put,
            beat=self.progress.beat,
        )
        self._own = Own(host=self._host.name, snapshot=first, receivers=self._deliveries.names)
        self._own.repeated = lambda: self._deliveries.repeated
        self._publisher = Publisher(self._stock, self.progress.late, lambda text: self._inbox.put(Note(text)), self._monotonic)
        self._configure(first)
        self._tailer.start()
        self._checker.start()
        self._sampler.start()
        self._changes.update(first)
        self._changes.start()
        self._gateways.start(first)
        self._gateways.look_again()  # with the names, which may take seconds
        self._diagnoser.start()
        self._deliveries.start()
        self._publisher.start(self._metrics(self.settings))
        self._committed_s = self._monotonic()
        systemd.notify(systemd.READY, systemd.status(self._status))

    def run(self, is_done: Callable[[], bool] = lambda: False) -> None:
        """Take what the parts find until `end` is called, or `is_done` at the end of a second."""
        watchdog_s = systemd.watchdog_s()
        fed_s = self._monotonic()
        while not self._is_ending:
            left_s = self._committed_s + COMMIT_S - self._monotonic()
            entry = self._inbox.take(min(max(left_s, 0.0), WAKE_S))
            if entry is not None:
                self._take(entry)
            if self._is_reload_asked:
                self._is_reload_asked = False
                self._reload()
            if self._monotonic() - self._committed_s >= COMMIT_S:
                self._commit()
                if is_done():
                    return
            if watchdog_s and self._monotonic() - fed_s >= watchdog_s / 4:
                fed_s = self._monotonic()
                self._feed()

    def stop(self) -> None:
        """End all parts, keep what they still have, and close the store. Takes less than 10 seconds."""
        systemd.notify(systemd.STOPPING)
        self._is_ending = True
        self._inbox.open()
        for part in (self._gateways, self._checker, self._sampler, self._changes, self._tailer, self._diagnoser):
            part.stop(STOP_S)
        self._deliveries.stop(STOP_S)
        self._publisher.stop()
        while (entry := self._inbox.take(0.0)) is not None:
            self._take(entry)
        self._commit()
        self.store.close()
        threading.excepthook = threading.__excepthook__

    def once(self) -> bool:
        """Read what is new, check every member, diagnose, send what is due. Return whether an incident is open.

        Raises Why502Error.
        """
        began_at, began_s = self._now(), self._monotonic()
        self.start(is_once=True)

        def is_done() -> bool:
            return self._monotonic() - began_s > ONCE_S or self._is_idle(began_at)

        try:
            self.run(is_done)
            self._publisher.publish()
            return bool(self._recorder.state.open)
        finally:
            self.stop()

    def _is_idle(self, since: datetime) -> bool:
        """Return whether everything was read, checked, diagnosed and sent."""
        state = self._recorder.state
        is_looking = any(tracked.look_until_s is not None for tracked in state.open) or state.looking.ids or state.looking.wanted
        is_checked = self._checker.is_settled(since)
        is_read = self._tailer.is_caught_up and self._changes.has_looked and not len(self._inbox)
        return is_read and is_checked and not is_looking and not self.store.totals().pending

    # the main thread

    def _take(self, entry: Entry) -> None:
        match entry:
            case Message():
                self._recorder.deliver(entry)
            case Note():
                self._note(entry.message)
            case Seen():
                self._recorder.saw(entry)
            case Found():
                self._configure(entry.snapshot)
            case Answer():
                self._own.diagnoses += 1
                self._own.diagnoses_s += self._monotonic() - self._asked_s
                self._bundle = entry.bundle or None
                self._changes.add(entry.changes)
                self._step(entry.ready)
            case _:
                self._watch(entry, self._monotonic())
                self._step(entry)

    def _watch(self, event: Event, now_s: float) -> None:
        """Note what the live view and the metrics show of an event."""
        match event:
            case Observed():
                self._recent.add(event, now_s)
                self._checker.count(event.attempts)
                self._lag_s[event.log] = event.lag_s
                if event.note:
                    self._note(f"{event.log}: {event.note}")
            case Member():
                self._own.checked(event)
            case _:
                pass

    def _step(self, event: Event) -> None:
        """Have the state take an event. An error of our own costs this event only; what it counted is kept."""
        try:
            self._do(self._recorder.take(event, self._now(), self._monotonic()))
        except Exception as error:
            self._bug(type(event).__name__, error)

    def _do(self, todo: Todo) -> None:
        for notice in todo.notices:
            self._shown.event(self._now(), notice.transition, notice.incident)
        for note in todo.notes:
            self._note(note)
        for asked in todo.diagnose:
            self._asked_s = self._monotonic()
            self._diagnoser.ask(asked)

    def _commit(self) -> None:
        """Count the second, and write everything since the last commit in one transaction."""
        now = self._now()
        self._step(Tick())
        is_news = not self._recorder.is_empty
        if is_news or self.store.behind_since is not None:
            self.store.commit(self._recorder.batch(now))
        for note in self.store.take_notes():
            self._note(note)
        self._committed_s, self._committed_at = self._monotonic(), now
        if is_news:
            self._deliveries.wake()

    def _feed(self) -> None:
        """Tell systemd's watchdog that everything makes progress, unless there is something that a restart would help."""
        late = self.progress.late()
        if late and late != self._late:
            self._note(f"no progress in {', '.join(late)}")
        self._late = late
        if not self.progress.curable():
            systemd.notify(systemd.WATCHDOG, systemd.status(self._status))

    def _died(self, args: threading.ExceptHookArgs) -> None:
        """Take the end of a thread by an error of our own: it makes no progress any more, so that systemd restarts the daemon."""
        name = args.thread.name if args.thread else "a thread"
        if args.exc_value is not None:
            self._bug(name, args.exc_value)
        self.progress.beat(name, 0.0)

    def _bug(self, where: str, error: BaseException) -> None:
        """Say once that there is an error in this program, and where."""
        place = traceback.extract_tb(error.__traceback__)[-1:]
        at = f" ({Path(place[0].filename).name}:{place[0].lineno})" if place else ""
        message = f"internal error in {where}{at}: {type(error).__name__}: {error}; report it: this is a bug in why502"
        if message not in self._bugs and len(self._bugs) < MOST_NOTES:
            self._bugs.add(message)
            self._note(message)

    def _note(self, message: str) -> None:
        self._notes.append(message)
        self._shown.note(self._now(), message)

    def _configure(self, snapshot: Snapshot) -> None:
        """Learn what the gateways are now."""
        before, self._own.snapshot = self._status, snapshot
        found_now = topology.configured(snapshot)
        self._recorder.configure(configured(snapshot, found_now.scopes))
        self._step(msgspec.structs.replace(found_now, served=served(snapshot), logs=logs(snapshot)))
        found = running(snapshot)
        self._status = (
            ", ".join(f"{proxy.kind} {proxy.version} ({proxy.config})" for proxy in found) or "no gateway is running yet"
        )
        if self._status != before:
            self._note(f"watching {self._status}" if found else f"{self._status}: waiting for one to start")
        for gap in self._tailer.gaps:
            self._note(f"{gap.source}: {gap.reason}; {gap.hint}")

    def _reload(self) -> None:
        """Take the settings of the file, if it is valid; otherwise keep those in force, and say so."""
        systemd.notify(systemd.reloading())
        try:
            new = settings_file.read(self._options.settings)
            self._take_settings(new)
            self._own.is_reload_successful = True
            self._note(f"settings reloaded: {settings_file.summary(new)}")
        except Why502Error as error:
            self._own.is_reload_successful = False
            self._note(f"the settings in force are kept: {error.message}. {error.hint}")
        systemd.notify(systemd.READY, systemd.status(self._status))

    def _take_settings(self, new: Settings) -> None:
        """Put new settings in force. Raises Why502Error before anything was changed."""
        old = self.settings
        self._publisher.configure(self._metrics(new))
        self.settings = new
        self._recorder.state = replace(self._recorder.state, objectives=new.objectives, labels=new.labels)
        if new.checks != old.checks:
            self._checker.stop(STOP_S)
            self._checker = self._new_checker(self._own.snapshot, self._checker.members)
            self._checker.start()
        if (new.receivers, new.silences, new.heartbeat) != (old.receivers, old.silences, old.heartbeat):
            self._deliveries.stop(STOP_S)
            self._deliveries = self._new_deliveries(self._deliveries)
            self._own.receivers = self._deliveries.names
            self._deliveries.start()
        if new.gateways != old.gateways:
            self._diagnoser.stop(STOP_S)
            self._diagnoser = self._new_diagnoser()
            self._diagnoser.start()
            self._gateways.look_again()
        if new.store != old.store and self._options.store is None:
            self._note("the store stays where it is until the next start")

    def _metrics(self, settings: Settings) -> MetricsSettings:
        """Return where the metrics go; the command line goes before the settings."""
        listen = settings.metrics.listen if self._options.listen is None else self._options.listen
        return msgspec.structs.replace(settings.metrics, listen=listen)

    def _stock(self) -> MetricsView:
        """Return what the metrics are made of, as of the last commit: its time tells a daemon that hangs."""
        return metrics_view(self.store, self._own, self._checker.members, lambda: self._committed_at)

    def view(self) -> View:
        """Return what the live view shows now."""
        state = self._recorder.state
        return View(
            now=self._now(),
            now_s=self._monotonic(),
            recent=self._recent,
            members=self._checker.members,
            incidents=[tracked.incident for tracked in state.open],
            notes=list(self._notes),
            status=self._status,
        )

    # parts

    def _found(self, snapshot: Snapshot) -> None:
        """Have the parts follow other gateways. The thread that found them calls this: a hanging file system holds up no more."""
        self._tailer.update(snapshot)
        self._checker.update(snapshot)
        self._sampler.update(snapshot)
        self._changes.update(snapshot)
        self._inbox.put(Found(snapshot))

    def _look(self, sources: frozenset[str]) -> Snapshot:
        """Return the gateways of this machine now."""
        now = self._now()
        scope = Scope(
            now=now,
            begin=now - WINDOW,
            end=now,
            configs=self._configs,
            logs=self._logs,
            is_probing=False,
            sources=sources,
        )
        return find_gateways(scope, self._machine)

    def _new_diagnoser(self) -> Diagnoser:
        order = Order(
            window_s=WINDOW.total_seconds(), configs=self._configs, logs=self._logs, is_probing=self._options.is_checking
        )
        return Diagnoser(self._inbox.put, self._now, order)

    def _sampled(self, found: Limit | Gap) -> None:
        self._inbox.put(Note(f"{found.source}: {found.reason}") if isinstance(found, Gap) else found)

    @property
    def _configs(self) -> tuple[str, ...]:
        return self._options.configs or self.settings.gateways.configs

    @property
    def _logs(self) -> tuple[str, ...]:
        return self._options.logs or self.settings.gateways.logs

    def _new_checker(self, snapshot: Snapshot, members: Iterable[Member] | None = None) -> Checker:
        return Checker(
            self._host,
            snapshot,
            self.settings.checks,
            self._inbox.put,
            members=self.store.members() if members is None else members,
            tell=self._inbox.put,
            is_probing=self._options.is_checking,
            beat=self.progress.beat,
        )

    def _new_deliveries(self, before: Deliveries | None = None) -> Deliveries:
        return Deliveries(
            self.settings,
            self.store,
            self._inbox.put,
            lambda message: self._inbox.put(Note(message)),
            self._remark,
            self.progress,
            self._now,
            before,
        )

    def _opened(self, path: Path, *, is_patient: bool) -> Store:
        """Return the store. One that cannot be opened now is waited for, while the logs keep what happens. Raises Why502Error."""
        is_reported = False
        while True:
            try:
                return Store.open(path)
            except Unavailable as error:
                if not is_patient or self._is_ending:
                    raise
                if not is_reported:
                    self._note(f"{error.message}: waiting. {error.hint}")
                is_reported = True
                systemd.notify(systemd.starting(10 * RETRY_S), systemd.status(error.message))
                until_s = self._monotonic() + RETRY_S
                while (left_s := until_s - self._monotonic()) > 0:
                    time.sleep(min(left_s, WAKE_S))
                    if self._is_ending:
                        raise

    def _restored(self) -> State:
        """Return the state that the last run left."""
        now = self._now()
        incidents = self.store.incidents(since=now - REMEMBERED, limit=MOST_REMEMBERED)
        return restored(
            reversed(incidents),
            self.store.members(),
            host=self._host.name,
            objectives=self.settings.objectives,
            labels=self.settings.labels,
            now=now,
            monotonic_s=self._monotonic(),
        )

    def _address(self, notice: Notify, at: datetime) -> list[Message]:
        return self._deliveries.address(notice, at)

    def _remark(self) -> str:
        """Return what every message must say about the daemon itself, "" if nothing."""
        late = {log: lag_s for log, lag_s in self._lag_s.items() if lag_s > LATE_S}
        if late:
            log = max(late, key=lambda name: late[name])
            return f"{log} is read with a delay of {late[log]:.0f} s, so newer failures are not known yet"
        return ""
