"""Recorder: from events to the state, to what must be done, and to what is kept in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from why502.watch.model import Batch, Change, Configured, Incident, Limit, Member, Message, Observed, Seen
from why502.watch.state.step import step
from why502.watch.state.values import Action, Diagnose, Event, KeepBundle, Note, Notify, Save, State


@dataclass(slots=True, kw_only=True)
class Todo:
    """What the daemon has to do after an event, besides keeping things."""

    diagnose: list[Diagnose] = field(default_factory=list)
    notices: list[Notify] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Recorder:
    """The state, and what was not kept yet. `address`: the messages for the receivers who want to know of a transition.

    `bundle`: the bundle of an incident's diagnosis, None if there is none.
    """

    state: State
    address: Callable[[Notify, datetime], list[Message]]
    bundle: Callable[[str], bytes | None]
    _observed: list[Observed] = field(default_factory=list)
    _members: dict[tuple[str, str, str], Member] = field(default_factory=dict)
    _changes: list[Change] = field(default_factory=list)
    _limits: dict[tuple[str, str], Limit] = field(default_factory=dict)
    _incidents: dict[str, Incident] = field(default_factory=dict)
    _messages: list[Message] = field(default_factory=list)
    _bundles: dict[str, bytes] = field(default_factory=dict)
    _configured: Configured | None = None
    _seen: Seen | None = None

    def take(self, event: Event, now: datetime, monotonic_s: float) -> Todo:
        """Take an event: change the state, and note what is to be kept. Return what is to be done."""
        self._keep(event)
        self.state, actions = step(self.state, event, now, monotonic_s)
        todo = Todo()
        for action in actions:
            self._act(action, now, todo)
        return todo

    def deliver(self, message: Message) -> None:
        """Keep what came of a delivery."""
        self._messages.append(message)

    def configure(self, configured: Configured) -> None:
        """Keep what the configuration in force names."""
        self._configured = configured

    def saw(self, seen: Seen) -> None:
        """Keep what later changes are told by."""
        self._seen = seen

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is to be kept."""
        kept = (self._observed, self._members, self._changes, self._limits, self._incidents, self._messages, self._bundles)
        return not any(kept) and self._configured is None and self._seen is None

    def batch(self, at: datetime) -> Batch:
        """Return everything since the last call, for one transaction."""
        batch = Batch(
            at=at,
            observed=self._observed,
            members=list(self._members.values()),
            changes=self._changes,
            limits=list(self._limits.values()),
            incidents=list(self._incidents.values()),
            messages=self._messages,
            bundles=self._bundles,
            configured=self._configured,
            seen=self._seen,
        )
        self._observed, self._changes, self._messages = [], [], []
        self._members, self._limits, self._incidents, self._bundles = {}, {}, {}, {}
        self._configured = self._seen = None
        return batch

    def _keep(self, event: Event) -> None:
        match event:
            case Observed():
                self._observed.append(event)
            case Member():
                self._members[event.proxy, event.group, str(event.peer)] = event
            case Change():
                self._changes.append(event)
            case Limit():
                self._limits[event.kind, event.subject] = event
            case _:
                pass

    def _act(self, action: Action, now: datetime, todo: Todo) -> None:
        match action:
            case Save():
                self._incidents[action.incident.id] = action.incident
            case Notify():
                self._messages += self.address(action, now)
                todo.notices.append(action)
            case KeepBundle():
                if (content := self.bundle(action.id)) is not None:
                    self._bundles[action.id] = content
            case Diagnose():
                todo.diagnose.append(action)
            case Note():
                todo.notes.append(action.message)
