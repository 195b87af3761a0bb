"""Place: a target, the machines it is seen from, and the joins between the sections of their snapshots."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from msgspec.structs import replace

from why502.diagnosis.listening import accepts
from why502.diagnosis.located import LocatedTarget
from why502.model.file_kind import FileKind
from why502.model.finding import LIKELY, PROOF
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.service import PhpPool, Service
from why502.model.snapshot import Dependency, Listener, SocketPath
from why502.model.target import Target

APPLICATION_ERROR = 500  # errors above it are often those of a further gateway
# From the end of a service to the first request that notices it, or from its stop to its failed start.
SWITCH = timedelta(seconds=5)
SINCE = "it has failed since requests to "  # evidence that links a failing service to a target


@dataclass(frozen=True, eq=False)
class Place(LocatedTarget):
    """A located target, with our own requests to it, its services and pools, and what they depend on."""

    @cached_property
    def loses_connections(self) -> bool:
        """True if connections to it time out although its accept queue never was full: something else drops them."""
        return self.has_never_overflowed and self.seen(Symptom.CONNECT_TIMED_OUT)

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Our own direct requests to the target. Without any, a missing listener on this machine shows the result of one."""
        found = tuple(
            probe
            for probe in (self.joins.probes.get(self.target, ()) if self.target is not None else ())
            if probe.network == self.network or probe.target.is_unix
        )
        if found or self.target is None or self.offline or not self.routes or self.listeners != ():
            return found
        is_missing = self.socket_path is not None and self.socket_path.kind is FileKind.MISSING
        symptom = Symptom.SOCKET_PATH_MISSING if is_missing else Symptom.CONNECT_REFUSED
        return (Probe(target=self.target, protocol=self.protocol, symptom=symptom, detail="nothing listens there"),)

    def probe(self, *symptoms: Symptom) -> Probe | None:
        """Return the first probe that got one of these symptoms."""
        return next((probe for probe in self.probes if probe.symptom in symptoms), None)

    @cached_property
    def answers_now(self) -> bool | None:
        """True if every probe of the target got a proper answer, None if no probe sent a request."""
        telling = [probe for probe in self.probes if probe.symptom or probe.is_answer]
        return all(probe.symptom is None for probe in telling) if telling else None

    def seen(self, *symptoms: Symptom) -> bool:
        """Return whether logs or probes show one of these symptoms on the target."""
        return self.tally(*symptoms) is not None or self.probe(*symptoms) is not None

    @cached_property
    def socket_path(self) -> SocketPath | None:
        """The unix socket as the proxy's workers see it."""
        if self.target is None or not self.target.is_unix:
            return None
        found = [x for x in self.here.socket_paths or () if x.path == self.target.path]
        user = self.proxy.user if self.proxy else ""
        return next((x for x in found if x.user == user), found[0] if found else None)

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """The services of the target, from their managers.

        A failing service that nothing links to a target belongs to this one if it began to fail when the target's failures began,
        and the target has no other service that ever ran.
        """
        every = (self.host.services if self.host else None) or ()
        own = tuple(service for service in every if self.target in service.targets and not self._only_leads_here(service))
        if not self.joins_by_time or self.target is None or self.listeners != () or not all(one.never_ran for one in own):
            return own
        fitting = [service for service in every if not service.targets and self._fails_since_then(service)]
        if len(fitting) != 1:
            return own
        return (replace(fitting[0], targets=(self.target,), link=f"{SINCE}{self.target} fail"),)

    def _only_leads_here(self, service: Service) -> bool:
        """Return whether a service is that of a gateway whose files name the target because it sends requests there."""
        gateways = (self.joins.proxy_of.get(id(route)) for route in self.routes)
        is_gateway = any(one is not None and service.main_pid in one.pids for one in gateways) and bool(service.main_pid)
        return is_gateway and " names " in service.link

    @cached_property
    def linked_by_time(self) -> Service | None:
        """The service that nothing but the time links to the target; None if there is none."""
        return next((service for service in self.services if service.link.startswith(SINCE)), None)

    def _fails_since_then(self, service: Service) -> bool:
        """Return whether a service that does not run first failed, or was stopped, when the target's failures began."""
        first, served = self.first_failure, self.last_served
        if service.settings.get("Type") == "oneshot":  # a job, which serves nothing
            return False
        if service.is_running is not False or first is None or served is None or served > first + SWITCH:
            return False
        events = [event.at for event in (self.host.events if self.host else None) or () if event.unit == service.name]
        ends = [at for at in events if at is not None and at >= first - SWITCH]
        began = min(ends, default=service.changed_at)
        return began is not None and first - SWITCH <= began <= first + SWITCH

    @cached_property
    def orphans(self) -> tuple[Listener, ...]:
        """The listeners that were bound to the target's path and still listen although that file is gone.

        Those that a stopped service left behind are not among them, but those of another service are.
        """
        if self.target is None or not self.target.is_unix:
            return ()
        stopped = {service.name for service in self.services if service.is_running is False}
        found = self.host.listeners if self.host else None
        return tuple(
            x
            for x in found or ()
            if x.is_at_path is False and x.target == self.target and x.pids and not (stopped and self._units_of(x) <= stopped)
        )

    def _units_of(self, listener: Listener) -> set[str]:
        """Return the units of the processes that hold a listener, as far as they are known."""
        processes = self.joins.processes
        return {processes[pid].unit for pid in listener.pids if pid in processes} - {""}

    @cached_property
    def service(self) -> Service | None:
        """The service of the target."""
        return self.services[0] if self.services else None

    @cached_property
    def has_systemd(self) -> bool:
        """True if systemd runs the target's machine and its events could be read."""
        host = self.host
        found = any(process.pid == 1 and process.name == "systemd" for process in (host.processes if host else None) or ())
        return found and host is not None and host.events is not None

    @cached_property
    def stopped_in_order(self) -> Service | None:
        """The service of the target that its manager stopped, or that ended by itself without an error; None if one failed."""
        down = [service for service in self.services if service.is_running is False]
        return down[0] if down and not any(map(_has_failed, down)) else None

    @cached_property
    def has_served(self) -> bool:
        """True if the address is right: the target is known to have answered, or a pool is configured to listen on it."""
        return self.last_served is not None or bool(self.pools)

    @cached_property
    def errs_since(self) -> int | None:
        """The error that its application sends for our repeats of the failed requests, if no client was served since; else None.

        An error here means that the failures were not the gap of a restart, whatever was restarted.
        """
        last, answered = self.last_failure, self.last_answered
        repeated = [probe for probe in self.probes if probe.repeats]
        if last is None or not repeated or (answered is not None and answered > last):
            return None
        is_so = all(probe.status == APPLICATION_ERROR and probe.symptom is None for probe in repeated)
        return APPLICATION_ERROR if is_so else None

    @cached_property
    def last_error(self) -> datetime | None:
        """When its application last answered 500, to a client or to our repeat of a failed request; None if unknown."""
        moments = [path.last_refused for path in self.paths if str(APPLICATION_ERROR) in path.statuses]
        moments += [probe.at for probe in self.probes if probe.repeats and probe.status == APPLICATION_ERROR]
        return max((at for at in moments if at is not None), default=None)

    @cached_property
    def born(self) -> datetime | None:
        """When the current listener of the target began to listen, by the start of its oldest process or by the unix socket;
        None if unknown.
        """
        path = self.socket_path
        held = (self.owners_of(listener) for listener in self.listeners or ())
        begun = [min((owner.started_at for owner in owners if owner.started_at), default=None) for owners in held]
        made = path.modified_at if path is not None and path.kind is FileKind.SOCKET else None
        return max((at for at in (*begun, made) if at is not None), default=None)

    @cached_property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The connections of the target's processes, and the dependencies that they report.

        A socket between its own processes (mod_wsgi's daemons) is none, nor is a backend of the gateway that is the target.
        Such a gateway has those of the only application behind it.
        """
        own = {process.pid for process in self.processes}
        targets = {self.target, *(self.behind_inner if len(self.behind_inner) == 1 else ())}
        found = (x for x in (self.host.dependencies if self.host else None) or () if x.target in targets)
        return tuple(x for x in found if not (x.peer.is_unix and x.pid in own) and x.peer not in self.behind_inner)

    @cached_property
    def pools(self) -> tuple[PhpPool, ...]:
        """The PHP-FPM pools that listen on the target."""
        found = (self.host.php_pools if self.host else None) or ()
        if self.target is None:
            return ()
        names = {listener.target for listener in self.listeners or () if listener.target.is_unix}
        if self.socket_path is not None and self.socket_path.steps:
            names.add(Target(path=self.socket_path.steps[-1].path))  # the end of its links, even if the file is missing
        own = {0, self.proxy.owner_uid if self.proxy else 0}  # any user can name a socket of root's gateway in their own pool
        found = tuple(x for x in found if x.owner_uid in own)
        return tuple(x for x in found if x.target is not None and (accepts(x.target, self.target) or x.target in names))

    @cached_property
    def pool(self) -> PhpPool | None:
        """The PHP-FPM pool that serves the target."""
        return self.pools[0] if self.pools else None


def proof_of(service: Service) -> float:
    """Return the weight of what a manager reports of a target's service: less if only the time links it to the target."""
    return LIKELY if service.link.startswith(SINCE) else PROOF


def _has_failed(service: Service) -> bool:
    """Return whether a service ended by a failure; SIGTERM is a normal stop."""
    stopped = service.signal in (None, signal.SIGTERM) and service.exit_code in (None, 0, 128 + signal.SIGTERM)
    return service.oom_killed or not stopped or service.result not in ("", "success") or service.state in ("failed", "FATAL")
