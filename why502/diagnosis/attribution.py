"""Attribution: decides which events, deaths and messages of programs belong to a target."""

from __future__ import annotations

import math
import signal
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from msgspec.structs import replace

from why502.diagnosis.place import Place
from why502.diagnosis.replaced import groups_of_replaced
from why502.diagnosis.routed import BROKEN
from why502.model.logs import Symptom, Tally
from why502.model.process import Process
from why502.model.service import Service
from why502.model.snapshot import Event

GAP = (  # requests get these while a server is restarted
    *(Symptom.CONNECT_REFUSED, Symptom.SOCKET_PATH_MISSING, Symptom.STALE_ENDPOINT),
    *(Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY),
)
_STOPPED = ("Stopped ", "stopped", "Deactivated ")  # the first words of a message about a completed stop
_DIED = frozenset({Symptom.OOM_KILLED, Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED})
_LIFE = (*_DIED, Symptom.PROCESS_STARTED, Symptom.PROCESS_STOPPED)
_OF_GATEWAYS = {  # what a gateway's events mean for the target that it serves
    Symptom.PROXY_STOPPED: Symptom.PROCESS_STOPPED,
    Symptom.PROXY_START_FAILED: Symptom.START_FAILED,
    Symptom.CONFIG_INVALID: Symptom.START_FAILED,
    Symptom.LISTEN_FAILED: Symptom.START_FAILED,
}
_TOLD = (
    "Stopping ",
    "Handling signal: ",
    "stopping ",
    "waiting for ",
    "SIGTERM",
    "Received SIG",
    "received SIG",
    "Gracefully ",
    "Stopped ",
)
_OF_POOLS = frozenset(
    {Symptom.PHP_MAX_CHILDREN, Symptom.PHP_CHILD_DIED, Symptom.PHP_SLOW, Symptom.WORKER_TIMED_OUT, Symptom.WORKERS_BUSY}
)
DEATHS = frozenset({Symptom.OOM_KILLED, Symptom.PROCESS_CRASHED})
_ENDS = (*DEATHS, Symptom.PROCESS_EXITED, Symptom.PHP_CHILD_DIED, Symptom.START_FAILED, Symptom.ADDRESS_IN_USE)
_KILLED = (signal.SIGKILL, 128 + signal.SIGKILL)  # as a signal, and as a shell and container engines report it
BEFORE, AFTER = timedelta(seconds=0.5), timedelta(seconds=1.2)  # around the second in which the proxy logged the first failure
RESTART = timedelta(seconds=10)  # the time that a service takes to stop after the order
SECOND = timedelta(seconds=1)  # logs do not show fractions of it
# between a death and the first request that it broke: gateways log a request when it began, or when it ended
AT_ONCE = timedelta(seconds=5)
SEVERAL = 2  # workers that were replaced right after a kill: no coincidence
ID_DIGITS = 64  # of a container: no other part of a cgroup's path looks like one
CLOCK = timedelta(seconds=2)  # log times are whole seconds; the kernel's times are computed from the time since boot


@dataclass(frozen=True, eq=False)
class Attribution(Place):
    """A place together with the events of the processes behind it."""

    def events(self, *symptoms: Symptom) -> tuple[Event, ...]:
        """Return the events with one of these symptoms that belong to the target's own processes or service, or that may belong
        to them by their program's name and time (`is_of_a_name`).

        A program's name alone is not enough in three cases: the event is at another time than the target's failures, it is in
        another control group, or its process is still running. Many programs have the name of an interpreter.
        """
        if self.host is None:
            return ()
        names = {p.name for p in self.processes} | {_program(s.argv) for s in self.services if s.argv}
        if self.pools or self.protocol == "fastcgi":
            names |= {"php-fpm"}
        mine = self.host.events or () if self.target is None else (self._as_backend(event) for event in self.host.events or ())
        return tuple(
            event
            for event in mine
            if event.symptom in symptoms
            and not self._is_of_another_pool(event)
            and (
                self._is_identified(event)
                or (event.process != "" and any(_same_program(event.process, name) for name in names) and self._fits(event))
            )
        )

    def _is_identified(self, event: Event) -> bool:
        """Return whether an event names the target itself: its address, its unit, one of its processes, or its container."""
        units, pids, ids = self._identity
        managed = {service.name for service in self.services if service.manager != "systemd"}
        is_shared = bool(managed) and event.symptom in DEATHS and event.unit not in {s.name for s in self.services}
        return (
            (event.target is not None and event.target == self.target)
            or (event.unit != "" and event.unit in units and not is_shared)  # a manager's unit has all of its programs
            or (event.pid is not None and event.pid in pids)
            or (event.cgroup != "" and any(identity in event.cgroup for identity in ids))
        )

    @cached_property
    def _identity(self) -> tuple[frozenset[str], frozenset[int], frozenset[str]]:
        """The names of the target's units, its process ids, and the ids of its containers."""
        pids = {p.pid for p in self.processes} | {s.main_pid for s in self.services if s.main_pid}
        units = (
            {s.name for s in self.services} | {p.unit for p in self.processes if p.unit} | {p.unit for p in self.pools if p.unit}
        )
        managed = {(s.manager, s.name) for s in self.services}
        ids = {one.id for one in self.here.containers or () if (one.engine, one.name) in managed}
        if (space := self.joins.homes.spaces.get(self.home or "")) is not None and len(space.container) == ID_DIGITS:
            ids.add(space.container)  # the target's own container, even if no engine describes it
        return frozenset(units), frozenset(pids), frozenset(ids)

    def _as_backend(self, event: Event) -> Event:
        """Return an event of a gateway's unit as an event of a backend if the unit serves the target."""
        service = next((service for service in self.services if service.name == event.unit), None)
        if event.symptom not in _OF_GATEWAYS or service is None:
            return event
        symptom = _OF_GATEWAYS[event.symptom]
        if event.symptom is Symptom.PROXY_START_FAILED and " process exited" in event.detail:
            symptom = Symptom.PROCESS_EXITED  # possibly at the end of a normal run
        if event.symptom is Symptom.LISTEN_FAILED and any("ddress already in use" in words for words in service.reason):
            symptom = Symptom.ADDRESS_IN_USE
        return replace(event, symptom=symptom)

    def _is_of_another_pool(self, event: Event) -> bool:
        """Return whether an event is about another pool of the same PHP-FPM: its master names the pool, or a script of it wrote
        the line.
        """
        own = self.pools
        if event.symptom in _OF_POOLS and own:
            others = {pool.name for pool in (self.host.php_pools if self.host else None) or ()} - {pool.name for pool in own}
            return event.process in others
        if event.target is None or event.target == self.target or event.symptom is not Symptom.APPLICATION_ERROR:
            return False
        return event.target not in {pool.target for pool in own}

    def _fits(self, event: Event) -> bool:
        """Return whether an event that names only a program can belong to the target."""
        if self._is_of_others(event):
            return False
        if event.at is None or event.symptom not in DEATHS:
            return True
        if event.symptom is Symptom.OOM_KILLED and (any(map(_died_otherwise, self.services)) or self._have_children_crashed):
            return False
        if self.stopped_in_order is not None:  # its manager saw it end without a signal
            return False
        lived = [p.started_at is not None and p.started_at < event.at for p in self.processes]
        if lived and all(lived):
            return False
        first, last = self.first_failure, self.last_failure
        if first is None and self.target is None:  # for programs of this machine or of a container on it; no client was affected
            return False
        return first is None or last is None or first - CLOCK <= event.at <= last + CLOCK

    def _is_of_others(self, event: Event) -> bool:
        """Return whether an event names a control group or a unit that is none of the target's. Containers share one kernel."""
        groups = {p.cgroup for p in self._alike(event)} - {"", "/"}
        if event.cgroup and groups and not any(_same_group(event.cgroup, group) for group in groups):
            return event.symptom is not Symptom.OOM_KILLED or not self._replaced[event.cgroup]
        return bool(event.unit and self.services) and event.unit not in {service.name for service in self.services}

    @cached_property
    def _replaced(self) -> Counter[str]:
        """The control groups in which the kernel killed workers of the target that were replaced at once, and how many."""
        return groups_of_replaced((self.host.events if self.host else None) or (), self.processes if self.target else ())

    @cached_property
    def _have_children_crashed(self) -> bool:
        """True if PHP-FPM reports how its children died, and none was killed: the kernel's log is that of all containers."""
        codes = {event.code for event in self.events(Symptom.PHP_CHILD_DIED)}
        return bool(codes - {None}) and signal.SIGKILL not in codes

    @cached_property
    def told_to_stop(self) -> Event | None:
        """The event which shows that the target's service was ordered to stop and has not been started since; else None.

        None also if the service ended by itself, or if it was started and ended before it was up. An error during the stop is
        not a crash, nor is a kill after the stop timeout.
        """
        events = [event for event in self.events(*_LIFE) if event.at and event.ended_at]
        begun = max(
            (event.ended_at for event in events if event.symptom is Symptom.PROCESS_STARTED and event.ended_at), default=None
        )
        stops = [event for event in events if event.symptom is Symptom.PROCESS_STOPPED and event.detail.startswith(_TOLD)]
        stop = next((event for event in stops if event.ended_at and (begun is None or event.ended_at >= begun)), None)
        if stop is None or stop.ended_at is None or any(service.is_running for service in self.services):
            return None
        if any(service.started_at and service.started_at > stop.ended_at for service in self.services):
            return None  # and that start failed
        deaths = [
            event for event in events if event.symptom in _DIED and event.ended_at and event.ended_at >= (begun or event.ended_at)
        ]
        return None if any(event.at and event.at < stop.ended_at for event in deaths) else stop

    def is_of_a_name(self, event: Event) -> bool:
        """Return whether only a program's name and the time link an event to the target: another program of that name may have
        died.

        The kernel log of every container shows the processes of all containers, and many programs have the name of an
        interpreter. An address, a unit, a process id or a control group of the target's own is more than a name.
        """
        if self._is_identified(event) or event.pid in self._logged_pids:
            return False
        if event.symptom is Symptom.OOM_KILLED and self._replaced[event.cgroup] >= SEVERAL:
            return False
        groups = {p.cgroup for p in self._alike(event) if _is_of_one_service(p.cgroup)}
        return not (_is_of_one_service(event.cgroup) and any(_same_group(event.cgroup, group) for group in groups))

    @cached_property
    def _logged_pids(self) -> frozenset[int]:
        """The process ids that the target's own messages name, such as those of workers that have ended."""
        events = (self.host.events if self.host else None) or ()
        return frozenset(event.pid for event in events if event.pid and self._is_identified(event))

    def _alike(self, event: Event) -> tuple[Process, ...]:
        """Return the target's processes; if no target is known, the processes of this machine that have the event's program."""
        if self.target is not None:
            return self.processes
        return tuple(p for p in (self.host.processes if self.host else None) or () if _same_program(event.process, p.name))

    def explains_otherwise(self, death: Event) -> str:
        """Return what else explains the target's failures, if only a program's name and the time link a death to it; "" if
        nothing does.

        A process that died takes its connections along at that moment. It is another's death if failures began at another
        time, if the target's own messages report an end or a failed start, or if what listens now fails in the same way.
        """
        ends = [end for end in self.events(*_ENDS) if end is not death and not self.is_of_a_name(end)]
        killed = [end.at for end in ends if end.code in _KILLED and end.at]
        if death.symptom is Symptom.OOM_KILLED and death.at and any(abs(at - death.at) <= CLOCK for at in killed):
            return ""  # its own manager or master saw a SIGKILL at that moment, which no program sends to itself
        first = self.first_failure
        if first is not None and death.at is not None and not -AT_ONCE <= death.at - first <= AT_ONCE:
            return f"the first request failed at {first:%H:%M:%S}"
        if (order := self.told_to_stop or next(iter(self.restarts), None)) is not None:
            return order.message
        for end in ends:
            if end.at is None or death.at is None or end.at <= death.at + SECOND:  # what comes later is an effect
                return end.message
        probe = next((probe for probe in self.probes if probe.symptom in BROKEN), None) if self.listeners else None
        return f"a request fails in the same way now: {probe.detail or probe.symptom}" if probe else ""

    @cached_property
    def restarts(self) -> tuple[Event, ...]:
        """The stop orders for the target's service around its failures, if the service was started again after them."""
        events = [event for event in self.events(Symptom.PROCESS_STOPPED, Symptom.PROCESS_STARTED) if event.at and event.ended_at]
        first, last = self.first_failure, self.last_failure
        begun = [event.ended_at for event in events if event.symptom is Symptom.PROCESS_STARTED]
        return tuple(
            event
            for event in events
            if event.symptom is Symptom.PROCESS_STOPPED
            and event.detail.startswith(_TOLD)
            and event.at
            and (first is None or last is None or first - RESTART <= event.at <= last + CLOCK)
            and any(at and at >= event.at for at in begun)
        )

    @cached_property
    def began_again(self) -> Service | None:
        """A service that systemd started since the first failure because it had ended by itself; None if there is none.

        A start that somebody orders sets the number of restarts to 0 (systemd.service(5), Restart=).
        """
        first = self.first_failure
        for service in self.services:
            if service.manager == "systemd" and service.restarts and service.started_at and first and service.started_at > first:
                return service
        return None

    @cached_property
    def reloads(self) -> tuple[Event, ...]:
        """The reloads by order around the target's failures: a master replaces its workers, and what they were answering is lost
        if it does not wait for them.
        """
        first, last = self.first_failure, self.last_failure
        return tuple(
            event
            for event in self.events(Symptom.PROCESS_RELOADED)
            if event.at and event.ended_at and first and last and first - CLOCK <= event.ended_at and event.at <= last + CLOCK
        )

    def ended_at_start(self, death: Event) -> bool:
        """Return whether the process that died last had not begun to listen: since the end of the run before it,
        no request was answered and no connection broke.

        If a program logs that it listens, it logged that before it was stopped or first died, and never after that.
        """
        if death.at is None or death.ended_at is None:
            return False
        events = self.events(Symptom.LISTENS_ON, Symptom.PROCESS_STARTED, Symptom.PROCESS_STOPPED)
        reports = [event for event in events if event.symptom is Symptom.LISTENS_ON]
        starts = [event for event in events if event.symptom is Symptom.PROCESS_STARTED]
        ends = [
            event.ended_at
            for event in events
            if event.symptom is Symptom.PROCESS_STOPPED and event.detail.startswith(_STOPPED) and event.ended_at
        ]
        # A run that ended in another way, such as by SIGKILL, has ended too.
        # What another program says of the same moment is the same end.
        ends += [
            other.at
            for other in self.events(*DEATHS)
            if other is not death and other.count == 1 and other.at and other.at < death.at - SECOND
        ]
        ends = [at for at in ends if at < death.ended_at]
        if 0 < sum(event.count for event in reports) < death.count:
            ends.append(death.at)  # if this ended the process that listened, the service has died again without listening
        over = max(ends, default=None)
        if over is None:
            return False
        began = any(
            start.ended_at and over < start.ended_at and (start.count > 1 or start.ended_at <= death.ended_at) for start in starts
        )
        served = self.last_served
        listened = any(event.ended_at and event.ended_at > over for event in reports)
        return began and not listened and (served is None or served <= over + SECOND)

    def is_of_a_past_life(self, event: Event) -> bool:
        """Return whether the service was stopped after an event, and has logged since then that it listens; or whether the event
        is how the process ended that it was told to stop, and the service was started again.
        """
        if self._is_of_an_ordered_end(event):
            return True
        events = self.events(Symptom.LISTENS_ON, Symptom.PROCESS_STOPPED)
        stops = [
            one.at
            for one in events
            if one.symptom is Symptom.PROCESS_STOPPED and one.detail.startswith(_STOPPED) and one.at and event.ended_at
            if one.at > event.ended_at
        ]
        listened_at = [one.ended_at for one in events if one.symptom is Symptom.LISTENS_ON and one.ended_at]
        return bool(stops) and any(at > max(stops) for at in listened_at)

    def _is_of_an_ordered_end(self, event: Event) -> bool:
        """Return whether an event of a service lies between the order to stop it and its end, and it was started after that.

        systemd writes "Failed with result" also of a process that exits with an error when it is told to stop.
        """
        orders = [one for one in self.restarts if one.unit == event.unit and one.at and event.at and one.at <= event.at]
        if not orders or not event.unit or event.ended_at is None:
            return False
        own = [one for one in self.events(Symptom.PROCESS_STOPPED, Symptom.PROCESS_STARTED) if one.unit == event.unit]
        started = max((one.ended_at for one in own if one.symptom is Symptom.PROCESS_STARTED and one.ended_at), default=None)
        ends = [one.ended_at for one in own if one.detail.startswith(_STOPPED) and one.ended_at]
        return started is not None and any(event.ended_at <= end <= started for end in ends)

    @cached_property
    def at_start(self) -> tuple[Event, ...]:
        """The events which show that the target's service ended by itself before it began to listen."""
        return tuple(filter(self.ended_at_start, self.events(Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED)))

    def deaths_at_break(self, *symptoms: Symptom) -> tuple[Event, ...]:
        """Return the deaths on the target's machine at the moment when connections to it began to break, or to be refused.
        Empty if something listens on the target now.

        This is for a target whose service, process and program name are unknown.
        """
        seen = {t.symptom for t in self.tallies}
        has_served = bool(seen & BROKEN or (self.traffic and self.traffic.last_success))
        broke = min((t.first for t in self.tallies if t.symptom in BROKEN | {Symptom.CONNECT_REFUSED} and t.first), default=None)
        broke = broke if has_served else None  # a target that never answered did not die just now
        if broke is None or self.host is None or self.listeners != () or self.services:
            return ()
        return tuple(
            event
            for event in self.host.events or ()
            if event.symptom in symptoms and event.at is not None and broke - BEFORE <= event.at <= broke + AFTER
        )

    def odds_of(self, event: Event) -> float:
        """Return the log-odds that an event at the moment when the target broke is not a coincidence; nothing else links the two.

        The machine may kill other processes all the time. The more groups of deaths at other moments, the likelier a coincidence.
        """
        events = self.host.events if self.host and event.at else None
        others = {
            other.cgroup or str(other.at)
            for other in events or ()
            if other.symptom is event.symptom and other.at and event.at and other.cgroup != event.cgroup
        }
        since, until = self.here.since, self.here.until or self.here.taken_at
        moments = (until - since) / (BEFORE + AFTER) if since else 1.0
        return math.log(max(moments, 1.0) / len(others)) if others else math.inf

    def kills_at_death(self) -> tuple[Event, ...]:
        """Return the kernel's out-of-memory kills of the target's program at the moments when its manager saw it die by SIGKILL.

        The kernel log names no unit, and its process ids are not valid in another process namespace. With version 1 cgroups,
        systemd is not notified of the kill.
        """
        names = {p.name for p in self.processes} | {_program(s.argv) for s in self.services if s.argv}
        deaths = [
            event.at for event in self.events(Symptom.PROCESS_CRASHED) if event.code == signal.SIGKILL and event.unit and event.at
        ]
        return tuple(
            event
            for event in (self.host.events if self.host else None) or ()
            if event.symptom is Symptom.OOM_KILLED
            and event.at is not None
            and any(abs(event.at - at) <= CLOCK for at in deaths)
            and any(_same_program(event.process, name) for name in names)
            and not self._is_of_others(event)
        )

    def is_named_by(self, tally: Tally) -> bool:
        """Return whether lines of a log that no gateway wrote are about the target, as far as they say: they name its unit or
        one of its processes, or they name nobody, as an application writes of itself. The kernel names any program.
        """
        units, pids, _ = self._identity
        if self.target is None or tally.target is not None:
            return True
        if tally.unit:
            return tally.unit in units or not units
        return not tally.process or tally.process_pid in pids

    def words(self, *symptoms: Symptom) -> tuple[Tally, ...]:
        """Return tallies of application, service and kernel logs (not of gateways) with one of these symptoms.

        Such lines do not name a target, except for an application's own listen address. They belong to the target if only one
        backend fails, or if their program or unit is known to serve it.
        """
        failing = self.joins.failing
        alone = len(failing) <= 1 and (self.target in failing or not failing)
        names = {p.name for p in self.processes} | {_program(s.argv) for s in self.services if s.argv}
        units = {s.name for s in self.services} | {p.unit for p in self.processes if p.unit}
        return tuple(
            tally
            for tally in self.anywhere(*symptoms)
            if tally.proxy is None
            and (
                tally.target in (None, self.target)
                or tally.symptom is Symptom.LISTENS_ON
                or (self.target is None and not failing)  # the error of an application alone names its own listen address
            )
            and (
                alone or tally.unit in units - {""} or any(_same_program(tally.process or tally.program, name) for name in names)
            )
        )


def _died_otherwise(service: Service) -> bool:
    """Return whether a service ended in another way than by SIGKILL, according to its manager (a shell reports SIGKILL as
    exit status 128 + 9).
    """
    ended = service.signal not in (None, signal.SIGKILL) or service.exit_code not in (None, 0, 128 + signal.SIGKILL)
    return service.is_running is False and ended


def _program(argv: tuple[str, ...]) -> str:
    return argv[0].rsplit("/", 1)[-1] if argv else ""


def _same_program(one: str, other: str) -> bool:
    """Return whether two process names mean one program: the kernel cuts them at 15 bytes, versions are appended (php-fpm8.2)."""
    one, other = one.split(":")[0].strip(), other.split(":")[0].strip()
    if not one or not other:
        return False
    shorter, longer = sorted((one[:15], other[:15]), key=len)
    return longer.startswith(shorter) and (len(shorter) > 3 or len(longer) == len(shorter))


def _is_of_one_service(group: str) -> bool:
    """Return whether a control group can be of one service alone: a slice, or a session of a user, has processes of all kinds."""
    last = group.rstrip("/").rpartition("/")[2]
    return bool(last) and not last.endswith(".slice") and not last.startswith("session-") and last != "init.scope"


def _same_group(one: str, other: str) -> bool:
    """Return whether two cgroups can be the same: either may be seen from another namespace, whose root is below the other's."""
    one, other = one.removeprefix("/.."), other.removeprefix("/..")
    return one.endswith(other) or other.endswith(one)
