"""One step under way: a copy of the state that may be changed, and the actions so far."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import datetime

import msgspec

from why502.watch.concern import Scope
from why502.watch.model import Incident, Occasion, Severity, Step, Transition
from why502.watch.state.values import Action, Looking, Note, Notify, Save, State, Tracked

MOST_STEPS = 200
_FIRST_STEPS = 20
MOST_TEXT = 300


class Turn:
    """The state that comes after an event, while it is made."""

    def __init__(self, state: State, now: datetime, monotonic_s: float) -> None:
        """Copy the state. Its values are never changed in place, so its dictionaries are copied and nothing below them."""
        self.before = state
        self.state = copy(state)
        for name in (
            "signals",
            "streaks",
            "attempts",
            "health",
            "tracked",
            "past",
            "budgets",
            "logs",
            "missed",
            "disks",
            "traffic",
        ):
            setattr(self.state, name, dict(getattr(state, name)))
        self.now, self.monotonic_s = now, monotonic_s
        self.state.now, self.state.monotonic_s = now, monotonic_s
        self.notes: list[Action] = []
        self.messages: list[Notify] = []
        self.others: list[Action] = []

    def actions(self) -> tuple[Action, ...]:
        """Return what follows. What is to be kept comes before what is to be told."""
        saves = [
            Save(incident=each.incident)
            for id_, each in self.state.tracked.items()
            if id_ not in self.before.tracked or self.before.tracked[id_].incident is not each.incident
        ]
        return (*self.notes, *saves, *self.messages, *self.others)

    def note(self, message: str) -> None:
        """Add a line to the daemon's own log."""
        self.notes.append(Note(message=message))

    def change(self, tracked: Tracked, **incident: object) -> Tracked:
        """Return a tracked incident with these fields of its incident replaced; it is part of the state already."""
        changed = replace(tracked, incident=msgspec.structs.replace(tracked.incident, **incident))
        self.state.tracked[changed.incident.id] = changed
        return changed

    def put(self, tracked: Tracked) -> Tracked:
        """Make a tracked incident part of the state."""
        self.state.tracked[tracked.incident.id] = tracked
        return tracked

    def step(self, tracked: Tracked, message: str) -> Tracked:
        """Add an entry to the timeline of an incident, unless it is the last one already."""
        incident, text = tracked.incident, message[:MOST_TEXT]
        if incident.timeline and incident.timeline[-1].message == text:
            return tracked
        steps = (*incident.timeline, Step(at=self.now, message=text))
        if len(steps) > MOST_STEPS:
            steps = (*steps[:_FIRST_STEPS], *steps[_FIRST_STEPS + 1 :])
        return self.change(tracked, timeline=steps)

    def notify(self, tracked: Tracked, transition: Transition, *, is_quiet: bool = False) -> Tracked:
        """Announce a transition of an incident, if it is of anybody's interest."""
        incident = tracked.incident
        if incident.severity is Severity.NONE or incident.caused_by:
            if not incident.messages:
                return tracked
            is_quiet = True  # those who were told learn how it ends
        tracked = self.change(tracked, messages=incident.messages + 1)
        if not is_quiet:
            tracked = self.put(replace(tracked, loud_s=self.monotonic_s))
        self.messages.append(
            Notify(incident=tracked.incident, transition=transition, number=tracked.incident.messages, is_quiet=is_quiet)
        )
        return tracked

    def want(self, id_: str, occasion: Occasion) -> None:
        """Ask for a diagnosis of an incident as soon as one may be made."""
        looking: Looking = self.state.looking
        if looking.wanted.get(id_) is not Occasion.OPENED:
            self.state.looking = replace(looking, wanted={**looking.wanted, id_: occasion})

    def scopes(self, incident: Incident) -> list[tuple[str, Scope]]:
        """Return the targets of an incident with their scopes, empty ones if not known: those that failed, or else those that
        its locations use.
        """
        targets = incident.targets or tuple(
            target
            for each in self.state.served
            if each.proxy == incident.proxy and each.location in incident.locations
            for target in each.targets
        )
        return [(target, self.state.scopes.get(target, Scope())) for target in dict.fromkeys(targets)]
