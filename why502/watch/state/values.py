"""The state, the events that change it, and the actions that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from why502.model.base import Value
from why502.model.finding import Diagnosis
from why502.watch.concern import Scope
from why502.watch.model import (
    Blindness,
    Change,
    Incident,
    Limit,
    Member,
    MemberStatus,
    Observed,
    Occasion,
    Proposal,
    RequestKey,
    TargetKey,
    Transition,
)
from why502.watch.state.burn import Budget, Objective
from why502.watch.state.families import Family
from why502.watch.state.identity import incident_key


class SignalKey(NamedTuple):
    """Failures that are judged together. `subject`: the target, or the location of requests without one."""

    proxy: str
    subject: str
    family: Family


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """The failures of one key. Times are monotonic seconds; `minutes` are (monotonic minute, failures), the last hour's.

    `hurt`: requests whose client got a failure, of the failures since `began_s`; the others were recovered by a retry.
    `concerns`: the targets that a limit is about.
    """

    began_s: float
    began_at: datetime
    last_s: float
    minutes: tuple[tuple[int, int], ...] = ()
    hurt_minutes: tuple[tuple[int, int], ...] = ()
    failures: int = 0
    hurt: int = 0
    symptoms: Mapping[str, int] = field(default_factory=dict)
    locations: tuple[str, ...] = ()
    is_check: bool = False  # a check fell
    is_targetless: bool = False
    concerns: tuple[str, ...] = ()


class Served(Value, frozen=True, kw_only=True):
    """One location, the group and the targets that serve it."""

    proxy: str
    location: str
    targets: tuple[str, ...] = ()
    group: str = ""


# events


class TargetsChanged(Value, frozen=True, kw_only=True):
    """What the gateways are configured to use now. `scopes`: by target. `logs`: by path, the proxy that writes it.

    `aliases`: addresses of each target that is a name. `running`: the gateways that run. `missed`: those that should run and do
    not, and why.
    """

    served: tuple[Served, ...] = ()
    scopes: Mapping[str, Scope] = {}
    logs: Mapping[str, str] = {}
    aliases: Mapping[str, tuple[str, ...]] = {}
    running: frozenset[str] = frozenset()
    missed: Mapping[str, str] = {}
    gateway_units: Mapping[str, tuple[str, ...]] = {}


class DiagnosisReady(Value, frozen=True, kw_only=True):
    """The result of `Diagnose`, or why there is none.

    `aliases`: addresses of each configured target that is a name. `roots`: what several targets share and what failed: a
    dependency, a unit, a machine. `own_network`: why this machine itself reaches nothing, "" if it does.
    `proposals`: by the finding's cause and target ("wrong-port@127.0.0.1:3001").
    """

    ids: tuple[str, ...]
    occasion: Occasion
    at: datetime
    diagnosis: Diagnosis | None = None
    reason: str = ""
    aliases: Mapping[str, tuple[str, ...]] = {}
    roots: Mapping[str, str] = {}
    own_network: str = ""
    proposals: Mapping[str, Proposal] = {}
    scopes: Mapping[str, Scope] = {}


class Tick(Value, frozen=True, kw_only=True):
    """Time went on. Once a second."""


Event = Observed | Member | Blindness | Change | Limit | DiagnosisReady | TargetsChanged | Tick


# actions


class Diagnose(Value, frozen=True, kw_only=True):
    """Diagnose the machine now, for these incidents, and answer with `DiagnosisReady`."""

    ids: tuple[str, ...]
    occasion: Occasion


class Save(Value, frozen=True, kw_only=True):
    """Keep the incident."""

    incident: Incident


class Notify(Value, frozen=True, kw_only=True):
    """Tell the receivers. `number`: of this message among the incident's. `is_quiet`: a note that wakes nobody."""

    incident: Incident
    transition: Transition
    number: int
    is_quiet: bool = False


class KeepBundle(Value, frozen=True, kw_only=True):
    """Keep the bundle of the diagnosis that was just made for this incident."""

    id: str


class Note(Value, frozen=True, kw_only=True):
    """A line for the daemon's own log."""

    message: str


Action = Diagnose | Save | Notify | KeepBundle | Note


# the state


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """An incident that is open, or was until shortly ago. Times are monotonic seconds; None: since before our own start.

    `signals`: all that belong to it; `loud`: those of them that were enough to open one.
    `look_until_s`: no message before, unless the cause is known. `served`: by subject, requests that succeeded since the last
    failure. `resource`: what its cause concerns. `mix`: targets and families when it was diagnosed last.
    """

    incident: Incident
    signals: frozenset[SignalKey] = frozenset()
    loud: frozenset[SignalKey] = frozenset()
    opened_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    look_until_s: float | None = None
    later_at_s: float | None = None
    closed_s: float | None = None
    served: Mapping[str, int] = field(default_factory=dict)
    resource: str = ""
    mix: frozenset[SignalKey] = frozenset()
    is_kept: bool = False  # its bundle
    reopened_s: tuple[float, ...] = ()
    loud_s: float | None = None  # when a message woke somebody last
    is_without_traffic: bool = False


@dataclass(frozen=True, slots=True)
class Past:
    """A closed incident, so that its return is noticed."""

    id: str
    closed_at: datetime
    is_fixed: bool  # a change ended it


@dataclass(frozen=True, slots=True)
class Health:
    """What the checks say of one target. `passed_s`: when one passed last (monotonic)."""

    status: MemberStatus
    since_s: float
    symptom: str = ""
    reason: str = ""
    passed_s: float | None = None  # when a check passed last


@dataclass(frozen=True, slots=True)
class LogState:
    """How one log does. `minutes`: (monotonic minute, lines) of the last half hour."""

    proxy: str
    minutes: tuple[tuple[int, int], ...] = ()
    last_line_s: float | None = None
    unreadable_since_s: float | None = None
    reason: str = ""
    misfit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Diagnoses: those under way, wanted, and when the last ones began (monotonic seconds)."""

    ids: tuple[str, ...] = ()
    occasion: Occasion = Occasion.OPENED
    began_s: tuple[float, ...] = ()
    wanted: Mapping[str, Occasion] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that `step` knows. Its size is bounded: see the limits in `step`. `step` never changes a state in place."""

    host: str = ""
    objectives: tuple[Objective, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    now: datetime | None = None
    monotonic_s: float = 0.0
    leap_s: float = 0.0  # how far the clock was set, and until when lines may carry times of before
    leap_until_s: float = 0.0
    signals: dict[SignalKey, Signal] = field(default_factory=dict)
    streaks: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    attempts: dict[tuple[str, str], tuple[tuple[int, int, int], ...]] = field(default_factory=dict)  # minute, tried, failed
    tells_attempts: frozenset[str] = frozenset()  # proxies whose logs name the target of a success
    health: dict[TargetKey, Health] = field(default_factory=dict)
    served: tuple[Served, ...] = ()
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    tracked: dict[str, Tracked] = field(default_factory=dict)
    past: dict[str, Past] = field(default_factory=dict)
    looking: Looking = field(default_factory=Looking)
    budgets: dict[str, Budget] = field(default_factory=dict)
    logs: dict[str, LogState] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    missed: dict[str, tuple[float, str]] = field(default_factory=dict)  # gateways that do not run: since when, why
    gateway_units: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    disks: dict[str, Limit] = field(default_factory=dict)
    traffic: dict[tuple[str, str], float] = field(default_factory=dict)  # when a target or location was last asked for
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def open(self) -> tuple[Tracked, ...]:
        """Return the open incidents, the first opened first."""
        return tuple(each for each in self.tracked.values() if each.incident.is_open)

    def status(self, proxy: str, target: str) -> MemberStatus:
        """Return what the checks say of a target: of a name, down if all of its addresses are, up if one is."""
        names = (target, *self.aliases.get(target, ()))
        found = {health.status for name in names if (health := self.health.get(TargetKey(proxy, name)))}
        if MemberStatus.UP in found:
            return MemberStatus.UP
        return MemberStatus.DOWN if found == {MemberStatus.DOWN} else MemberStatus.UNKNOWN

    def passed_s(self, proxy: str, target: str) -> float | None:
        """Return when a check of a target passed last; None if none did."""
        names = (target, *self.aliases.get(target, ()))
        found = (health.passed_s for name in names if (health := self.health.get(TargetKey(proxy, name))))
        return max((passed_s for passed_s in found if passed_s is not None), default=None)

    def key(self, signal: SignalKey) -> str:
        """Return the incident key of a signal."""
        return incident_key(self.host, signal.proxy, signal.subject, signal.family)


def is_success(key: RequestKey) -> bool:
    """Return whether these requests were answered, by whatever the application wanted to say."""
    return key.code in ("2xx", "3xx", "4xx")
