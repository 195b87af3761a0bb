"""Case: the snapshots as seen from one target, with every join between their sections."""

from __future__ import annotations

import math
import signal
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from why502.diagnosis.index import GATEWAYS, Doors, Joins, accepts, addresses, is_failure, merged, takes
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.logs import Symptom, Tally, TargetTraffic
from why502.model.snapshot import (
    Dependency,
    Event,
    Listener,
    NetworkPath,
    PhpPool,
    Pressure,
    Probe,
    Process,
    Proxy,
    Resolution,
    Service,
    Snapshot,
    SocketPath,
)
from why502.model.target import Target

# Programs that listen on nearly every server and are never the application behind a proxy.
APPLICATION_ERROR = 500  # the errors above it are often those of a further gateway
SYSTEM_PORTS = 1023  # the last that only root may listen on (ip(7)): services of the machine, no applications
_INFRASTRUCTURE = frozenset(
    "sshd systemd systemd-resolve systemd-resolved systemd-network dnsmasq named unbound chronyd ntpd rpcbind rpc.statd cupsd"
    " exim4 master postfix dovecot mysqld mariadbd postgres redis-server memcached mongod beam.smp epmd prometheus node_exporter"
    " prometheus-node alertmanager containerd dockerd docker-proxy nginx haproxy apache2 httpd varnishd envoy caddy traefik"
    " snmpd zabbix_agentd"
    " vsftpd proftpd smbd nmbd slapd fail2ban-server avahi-daemon supervisord tailscaled init".split()
)


@dataclass(frozen=True, eq=False)
class Case:
    """One target as the proxy's machine (`here`) and, where it was looked at, the target's own machine (`there`) show it.

    `target` None is the case of the proxy itself: what concerns no single address.
    """

    here: Snapshot
    there: Snapshot | None = None
    target: Target | None = None
    offline: bool = False
    index: Joins | None = None  # of `here`, where several cases share it

    @cached_property
    def joins(self) -> Joins:
        """The indexes of `here`."""
        return self.index or Joins(self.here)

    # --- the way there

    @cached_property
    def host(self) -> Snapshot | None:
        """The snapshot of the machine that the target lies on; None where it was not looked at."""
        return self.here if self.is_local else self.there

    @cached_property
    def is_local(self) -> bool:
        """True where the target lies on the proxy's own machine."""
        if self.target is None or self.target.is_loopback:
            return True
        return self.target.host in (self.here.addresses or ())

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes that lead to the target (all routes, for the proxy's own case)."""
        if self.target is None:
            return self.joins.routes
        named = () if self.here.names is not None else self.joins.routes_by_name.get(self.target.port, ())
        return self.joins.routes_to(self.target) or tuple(named)

    @cached_property
    def is_named(self) -> bool:
        """True where some file on disk names the target, or a name or variable there may mean it."""
        return self.joins.is_open or self.joins.leads_to(self.target)

    @cached_property
    def route(self) -> Route | None:
        """The route that failed most often, else the first."""
        if not self.routes:
            return None
        servers = {tally.server: tally.count for tally in sorted(self.tallies, key=lambda x: x.count)}
        taken: Counter[Position | None] = Counter()
        if len(self.routes) > 1:
            for tally in self.failures:
                for request, count in tally.requests:
                    taken.update(dict.fromkeys((route.at for route in self.joins.taken(request, tally.server)), count))
        if not taken and not any(servers):
            return self.routes[0]
        return max(
            self.routes,
            key=lambda route: (
                taken[route.at],
                max((servers.get(name, 0) for name in (route.server, *route.server_names)), default=0),
            ),
        )

    @cached_property
    def peer(self) -> Peer | None:
        """The configured member that means the target."""
        for route in self.routes:
            if len(route.peers) == 1:
                return route.peers[0]
            if self.target is not None and (peer := self.joins.members(route.peers).get(self.target)):
                return peer
        return None

    @cached_property
    def group(self) -> Upstream | None:
        """The named group that the target belongs to."""
        names = {route.upstream for route in self.routes if route.upstream}
        found = [self.joins.groups[name] for name in names if name in self.joins.groups]
        return min(found, key=lambda each: each[0])[1] if found else None

    @cached_property
    def empty_group(self) -> Upstream | None:
        """The group that the proxy had no server left of to try, in the proxy's own case; None where there was none."""
        tally = self.tally(Symptom.NO_LIVE_UPSTREAMS) if self.target is None else None
        return next((group for proxy in self.proxies for group in proxy.upstreams if tally and group.name == tally.group), None)

    @cached_property
    def is_left_out(self) -> bool:
        """True where the proxy had no server left to try of the group that the target belongs to."""
        group = self.group
        return group is not None and any(t.group == group.name for t in self.joins.tallies_of(Symptom.NO_LIVE_UPSTREAMS))

    @cached_property
    def proxies(self) -> tuple[Proxy, ...]:
        """The proxies of the machine (() where unknown)."""
        return self.here.proxies or ()

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy whose routes lead to the target."""
        if self.target is None:
            return self.proxies[0] if len(self.proxies) == 1 else None
        return self.joins.proxy_of.get(id(self.routes[0])) if self.routes else None

    @cached_property
    def protocol(self) -> str:
        """What the proxy speaks to the target: http, https, fastcgi…; "" where unknown."""
        if self.route is not None:
            return self.route.protocol
        return next((tally.protocol for tally in self.tallies if tally.protocol), "")

    # --- what was seen

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """The tallies of the target; for the proxy's own case those without any target."""
        found = self.joins.tallies.get(self.target, ())
        # Words of applications and the kernel carry no target. They belong to whatever target fails (see `words`).
        if self.target is None and self.joins.failing:
            return tuple(tally for tally in found if tally.proxy is not None)
        return tuple(found)

    def tally(self, *symptoms: Symptom) -> Tally | None:
        """Return the sum of what the logs show of these symptoms on the target; None where nothing was seen."""
        return merged(tally for tally in self.tallies if tally.symptom in symptoms)

    def anywhere(self, *symptoms: Symptom) -> tuple[Tally, ...]:
        """Return the tallies of these symptoms in all logs of both machines, whatever their target."""
        logs = [snapshot.logs for snapshot in (self.here, self.there) if snapshot is not None and snapshot.logs is not None]
        return tuple(tally for log in logs for tally in log.tallies if tally.symptom in symptoms)

    @cached_property
    def traffic(self) -> TargetTraffic | None:
        """What the access log tells of the target's traffic."""
        return self.joins.traffic.get(self.target) if self.target is not None else None

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Our own requests straight to the target. Without any, a missing listener on this machine tells how one would end."""
        found = tuple(self.joins.probes.get(self.target, ())) if self.target is not None else ()
        if found or self.target is None or self.offline or not self.routes or self.listeners != ():
            return found
        is_missing = self.socket_path is not None and self.socket_path.kind == "missing"
        symptom = Symptom.SOCKET_PATH_MISSING if is_missing else Symptom.CONNECT_REFUSED
        return (Probe(target=self.target, protocol=self.protocol, symptom=symptom, detail="nothing listens there"),)

    def probe(self, *symptoms: Symptom) -> Probe | None:
        """Return the first probe that met one of these symptoms."""
        return next((probe for probe in self.probes if probe.symptom in symptoms), None)

    @cached_property
    def answers_now(self) -> bool | None:
        """True where every probe of the target was answered properly, None where there was none that asked for something."""
        told = [probe for probe in self.probes if probe.symptom or probe.is_answer]
        return all(probe.symptom is None for probe in told) if told else None

    def seen(self, *symptoms: Symptom) -> bool:
        """Return whether logs or probes show one of these symptoms on the target."""
        return self.tally(*symptoms) is not None or self.probe(*symptoms) is not None

    # --- the target's machine

    @cached_property
    def listeners(self) -> tuple[Listener, ...] | None:
        """The sockets that would take a connection to the target; None where that could not be seen.

        Not even where it answers and no socket seems to be the one: then it was not recognized.
        """
        if self.target is None or self.host is None or self.host.listeners is None:
            return None
        near = self._doors.near(self.target) if self._doors else self._reachable
        found = tuple(listener for listener in near if takes(listener, self.target))
        return found if found or self.target not in self.joins.answering else None

    @cached_property
    def queued(self) -> int:
        """How many connections wait for the backend to accept them: by the queues of its listeners, else by the socket tables."""
        known = [listener.queued for listener in self.listeners or () if listener.queued is not None]
        kernel = self.host.kernel if self.host else None
        return sum(known) if known or kernel is None else kernel.unaccepted.get(str(self.target), 0)

    def heard_at(self, target: Target) -> list[Listener]:
        """Return the listeners of the target's machine that take connections to another target."""
        near = self._doors.near(target) if self._doors else self._reachable or ()
        return [one for one in near if takes(one, target)]

    @cached_property
    def _doors(self) -> Doors | None:
        """The same listeners by target, where the target lies on the proxy's machine."""
        return self.joins.doors(self._network) if self.host is self.here else None

    @property
    def _network(self) -> str:
        return self.proxy.network if self.proxy and self.is_local else ""

    @cached_property
    def _reachable(self) -> tuple[Listener, ...]:
        """The listeners in the proxy's own network namespace (a unix socket has none)."""
        network = self._network
        if self.host is self.here:
            return self.joins.reachable(network)
        found = self.host.listeners if self.host and self.host.listeners else ()
        return tuple(listener for listener in found if listener.target.is_unix or listener.network == network)

    @cached_property
    def same_port(self) -> tuple[Listener, ...]:
        """Listeners on the target's port that do not take its address (another interface or family)."""
        if self.target is None or self.target.is_unix:
            return ()
        return tuple(
            listener
            for listener in (self._doors.by_port.get(self.target.port, ()) if self._doors else self._reachable)
            if listener.target.port == self.target.port and not takes(listener, self.target)
        )

    @cached_property
    def strays(self) -> tuple[Listener, ...]:
        """Listeners of applications that no route names, on the target's machine: where the backend may really listen."""
        return tuple(listener for listener in self._unnamed if self.process_of(listener) is not None)

    @cached_property
    def has_stray(self) -> bool:
        """True where some application listens on a socket of any kind that no route names, or of which its owner could not be seen.

        Not where it did so beside the target while that still answered: it is another application.
        """
        others = self._unnamed_of(is_unix=not (self.target and self.target.is_unix))
        return bool(self.unowned) or any(not self.was_beside(listener) for listener in (*self.strays, *others))

    def was_beside(self, listener: Listener) -> bool:
        """Return whether the process that owns a listener ran before the target answered for the last time."""
        process, served = self.process_of(listener), self.last_served
        if process is None or process.started_at is None or served is None:
            return False
        return process.started_at + BESIDE < served

    @cached_property
    def unowned(self) -> tuple[Listener, ...]:
        """Such listeners of which could not be seen whose they are: the backend may be among them, or not."""
        return tuple(
            listener
            for listener in self._unnamed
            if self.process_of(listener) is None and (listener.target.is_unix or listener.target.port > SYSTEM_PORTS)
        )

    @cached_property
    def _unnamed(self) -> tuple[Listener, ...]:
        return self._unnamed_of(is_unix=self.target is not None and self.target.is_unix)

    def _unnamed_of(self, *, is_unix: bool) -> tuple[Listener, ...]:
        if self.target is None or self.host is None:
            return ()
        own = {pid for proxy in self.proxies for pid in (proxy.pid, *(worker.pid for worker in proxy.workers)) if pid}
        reachable = {id(listener) for listener in self._reachable}
        unnamed = self.joins.unnamed if self.host is self.here else self._reachable
        found = []
        for listener in unnamed:
            process = self.process_of(listener)
            if id(listener) not in reachable or listener.target.is_unix != is_unix:
                continue
            if own & set(listener.pids) or (process and process.name.split(":")[0] in _INFRASTRUCTURE):
                continue
            if listener.target.is_unix and not _looks_like_application(listener.target.path):
                continue
            found.append(listener)
        return tuple(found)

    @cached_property
    def inner_gateway(self) -> Process | None:
        """The process of a further gateway that listens on the target: its answers are what the one behind it made of it."""
        found = (self.process_of(listener) for listener in self.listeners or ())
        return next((process for process in found if process and process.name.split(":")[0] in GATEWAYS | {"nginx"}), None)

    @cached_property
    def behind_inner(self) -> frozenset[Target]:
        """The addresses that the gateway which listens on the target passes on to; none where that is no gateway, or not known."""
        gateway = self.inner_gateway
        if gateway is None or self.target is None:
            return frozenset()
        found: set[Target] = set()
        for proxy in self.proxies:
            pids = {proxy.pid, *(worker.pid for worker in proxy.workers)}
            if not {gateway.pid, gateway.ppid} & pids:  # HAProxy's worker is a child of its master
                continue
            for route in proxy.routes:
                ports = [word.split(" ")[0].rpartition(":")[2] for word in route.listens]
                if proxy.kind != "nginx" or not ports or str(self.target.port) in ports or self.target.is_unix:
                    found.update(target for peer in route.peers for target in addresses(peer, self.here))
        return frozenset(found - {self.target})

    @cached_property
    def missing_gateway(self) -> Proxy | None:
        """A further gateway of this machine that should listen on the target and does not run; None where there is none."""
        if self.target is None or self.listeners != ():
            return None
        return next((x for x in self.proxies if not x.is_running and any(accepts(y, self.target) for y in x.listens)), None)

    def process_of(self, listener: Listener) -> Process | None:
        """Return the process that owns a listener, the oldest of several."""
        if self.host is self.here:
            owners = [self.joins.processes[pid] for pid in listener.pids if pid in self.joins.processes]
        else:
            owners = [p for p in (self.host.processes if self.host else None) or () if p.pid in listener.pids]
        return min(
            owners, key=lambda p: (p.started_at or datetime.max.replace(tzinfo=self.here.taken_at.tzinfo), p.pid), default=None
        )

    def name_of(self, listener: Listener) -> str:
        """Return the name, pid and user of the process that owns a listener, in words; root goes without saying."""
        process = self.process_of(listener)
        if process is None:
            return "an application"
        user = f", user {process.user or process.uid}" if process.uid else ""
        return f"{process.name} (pid {process.pid}{user})"

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """The processes that listen on the target, and their children; not the init that holds a socket for its service."""
        found = (self.host.processes if self.host else None) or ()
        init = {p.pid for p in found if p.is_init}
        pids = {pid for listener in self.listeners or () for pid in listener.pids} - init
        return tuple(p for p in found if p.pid in pids or p.ppid in pids)

    @cached_property
    def has_left(self) -> bool:
        """True where the processes that were seen to listen on the target were gone when all processes were listed."""
        pids = {pid for listener in self.listeners or () for pid in listener.pids}
        processes = self.host.processes if self.host else None
        return bool(pids) and processes is not None and not any(process.pid in pids for process in processes)

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
        """The services that serve the target, as their managers know it."""
        return tuple(x for x in (self.host.services if self.host else None) or () if self.target in x.targets)

    @cached_property
    def service(self) -> Service | None:
        """The service that serves the target."""
        return self.services[0] if self.services else None

    @cached_property
    def has_systemd(self) -> bool:
        """True where systemd runs the target's machine and what it says could be read."""
        host = self.host
        found = any(process.pid == 1 and process.name == "systemd" for process in (host.processes if host else None) or ())
        return found and host is not None and host.events is not None

    @cached_property
    def stopped_in_order(self) -> Service | None:
        """The service of the target that its manager stopped, or that ended by itself without an error; None where one failed."""
        down = [service for service in self.services if service.is_running is False]
        return down[0] if down and not any(map(_has_failed, down)) else None

    @cached_property
    def has_served(self) -> bool:
        """True where something is known to have answered on the target, or to be configured to: its address is the right one."""
        return self.last_served is not None or bool(self.pools)

    @cached_property
    def last_served(self) -> datetime | None:
        """When the target last answered, or at least held a connection that then broke; None where nothing tells that it ever did."""
        moments = [tally.first for tally in self.tallies if tally.symptom in BROKEN]
        return max((at for at in (*moments, self.last_answered) if at is not None), default=None)

    @cached_property
    def errs(self) -> bool:
        """Whether clients were answered with a server error on its routes, as an access log tells that names no address."""
        places = {route.at for route in self.routes if route.at is not None}
        paths = self.here.logs.paths if self.here.logs else ()
        return any(path.at in places and any(status.startswith("5") for status in path.statuses) for path in paths)

    @cached_property
    def errs_since(self) -> int | None:
        """The error that its application answers with to requests of ours like those that failed, where nobody was served since; None where it is not so.

        Then what failed was no gap that is over, whatever was restarted.
        """
        last, answered = self.last_failure, self.last_answered
        told = [probe for probe in self.probes if probe.repeats]
        if last is None or not told or (answered is not None and answered > last):
            return None
        is_so = all(probe.status == APPLICATION_ERROR and probe.symptom is None for probe in told)
        return APPLICATION_ERROR if is_so else None

    @cached_property
    def last_error(self) -> datetime | None:
        """When its application answered 500 last, to a client or to a request of ours like those that failed; None where nothing tells that it did."""
        places = {route.at for route in self.routes if route.at is not None}
        paths = self.here.logs.paths if self.here.logs else ()
        moments = [path.last_refused for path in paths if path.at in places and str(APPLICATION_ERROR) in path.statuses]
        moments += [probe.at for probe in self.probes if probe.repeats and probe.status == APPLICATION_ERROR]
        return max((at for at in moments if at is not None), default=None)

    @cached_property
    def last_answered(self) -> datetime | None:
        """When the target last answered; None where nothing tells that it ever did."""
        places = {route.at for route in self.routes if route.at is not None}
        alone = all(len(route.peers) == 1 for route in self.routes)
        paths = self.here.logs.paths if self.here.logs and alone else ()
        moments = [path.last_served for path in paths if path.at in places]
        moments += [self.traffic.last_success if self.traffic else None]
        return max((at for at in moments if at is not None), default=None)

    @cached_property
    def born(self) -> datetime | None:
        """When what listens on the target now began to: the oldest process of it, or the unix socket; None where that is unknown."""
        path = self.socket_path
        begun = [process.started_at for listener in self.listeners or () if (process := self.process_of(listener))]
        made = path.modified_at if path is not None and path.kind == "socket" else None
        return max((at for at in (*begun, made) if at is not None), default=None)

    @cached_property
    def dependencies(self) -> tuple[Dependency, ...]:
        """What the target's processes are connected to, or say that they need."""
        return tuple(x for x in (self.host.dependencies if self.host else None) or () if x.target == self.target)

    @cached_property
    def pools(self) -> tuple[PhpPool, ...]:
        """The PHP-FPM pools that listen on the target."""
        found = (self.host.php_pools if self.host else None) or ()
        if self.target is None:
            return ()
        names = {listener.target for listener in self.listeners or () if listener.target.is_unix}
        if self.socket_path is not None and self.socket_path.steps:
            names.add(Target(path=self.socket_path.steps[-1].path))  # where its links lead, also to what is missing
        own = {0, self.proxy.owner_uid if self.proxy else 0}  # anybody can name a socket of root's gateway in a pool of their own
        found = tuple(x for x in found if x.owner_uid in own)
        return tuple(x for x in found if x.target is not None and (accepts(x.target, self.target) or x.target in names))

    @cached_property
    def pool(self) -> PhpPool | None:
        """The PHP-FPM pool that serves the target."""
        return self.pools[0] if self.pools else None

    @cached_property
    def machines(self) -> tuple[Snapshot, ...]:
        """The machine of the target and that of the proxy, as far as they were looked at."""
        return tuple(x for x in ((self.here,) if self.host is self.here else (self.host, self.here)) if x is not None)

    def events(self, *symptoms: Symptom) -> tuple[Event, ...]:
        """Return the events with one of these symptoms that can be joined to the target's own processes or service.

        A program's name alone joins nothing that happened at another time than its failures, in another control group, or to a
        process that is still there: many programs have the name of an interpreter.
        """
        if self.host is None:
            return ()
        pids = {p.pid for p in self.processes} | {s.main_pid for s in self.services if s.main_pid}
        units = (
            {s.name for s in self.services} | {p.unit for p in self.processes if p.unit} | {p.unit for p in self.pools if p.unit}
        )
        names = {p.name for p in self.processes} | {_program(s.argv) for s in self.services if s.argv}
        if self.pools or self.protocol == "fastcgi":
            names |= {"php-fpm"}
        return tuple(
            event
            for event in self.host.events or ()
            if event.symptom in symptoms
            and not self._is_of_another_pool(event)
            and (
                (event.target is not None and event.target == self.target)
                or (event.unit != "" and event.unit in units)
                or (event.pid is not None and event.pid in pids)
                or (event.process != "" and any(_same_program(event.process, name) for name in names) and self._fits(event))
            )
        )

    def _is_of_another_pool(self, event: Event) -> bool:
        """Return whether an event is the word of scripts in another pool of the same PHP-FPM."""
        if event.target is None or event.target == self.target or event.symptom is not Symptom.APPLICATION_ERROR:
            return False
        return event.target not in {pool.target for pool in self.pools}

    def _fits(self, event: Event) -> bool:
        """Return whether an event that names no more than a program can be the target's."""
        groups = {p.cgroup for p in self.processes} - {"", "/"}
        if event.cgroup and groups and not any(_same_group(event.cgroup, group) for group in groups):
            return False
        if event.unit and self.services and event.unit not in {service.name for service in self.services}:
            return False
        if event.at is None or event.symptom not in DEATHS:
            return True
        if event.symptom is Symptom.OOM_KILLED and any(map(_died_otherwise, self.services)):
            return False
        if self.stopped_in_order is not None:  # its manager saw it end without a signal
            return False
        lived = [p.started_at is not None and p.started_at < event.at for p in self.processes]
        if lived and all(lived):
            return False
        first, last = self.first_failure, self.last_failure
        return first is None or last is None or first - CLOCK <= event.at <= last + CLOCK

    @cached_property
    def told_to_stop(self) -> Event | None:
        """What tells that the target's service was told to stop and has not been started since; None where it ended by itself.

        What it does then, also an error or a kill at the end of its time, is no crash.
        """
        events = [event for event in self.events(*_LIFE) if event.at and event.ended_at]
        begun = max(
            (event.ended_at for event in events if event.symptom is Symptom.PROCESS_STARTED and event.ended_at), default=None
        )
        stops = [event for event in events if event.symptom is Symptom.PROCESS_STOPPED and event.detail.startswith(_TOLD)]
        stop = next((event for event in stops if event.ended_at and (begun is None or event.ended_at >= begun)), None)
        if stop is None or stop.ended_at is None or any(service.is_running for service in self.services):
            return None
        deaths = [
            event for event in events if event.symptom in _DIED and event.ended_at and event.ended_at >= (begun or event.ended_at)
        ]
        return None if any(event.at and event.at < stop.ended_at for event in deaths) else stop

    def is_of_a_name(self, event: Event) -> bool:
        """Return whether nothing but a program's name joins an event to the target: another one of that name may have died.

        The kernel tells of every container's processes, to each of them.
        """
        pids = {process.pid for process in self.processes} | {service.main_pid for service in self.services}
        return not event.unit and not event.cgroup and event.target is None and event.pid not in pids

    @cached_property
    def restarts(self) -> tuple[Event, ...]:
        """What tells that the target's service was told to stop, around its failures, where it was started again after that."""
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

    def ended_at_start(self, death: Event) -> bool:
        """Return whether what died last had not begun to listen: nothing was answered or broken off since the life before it was over.

        A program that says when it listens said so before it was stopped, or before it died first, and never after that.
        """
        if death.at is None or death.ended_at is None:
            return False
        events = self.events(Symptom.LISTENS_ON, Symptom.PROCESS_STARTED, Symptom.PROCESS_STOPPED)
        said = [event for event in events if event.symptom is Symptom.LISTENS_ON]
        starts = [event for event in events if event.symptom is Symptom.PROCESS_STARTED]
        ends = [
            event.ended_at
            for event in events
            if event.symptom is Symptom.PROCESS_STOPPED and event.detail.startswith(_STOPPED) and event.ended_at
        ]
        # A life that was ended in another way, by a SIGKILL say, is over as well.
        ends += [other.at for other in self.events(*DEATHS) if other is not death and other.count == 1 and other.at]
        ends = [at for at in ends if at < death.ended_at]
        if 0 < sum(event.count for event in said) < death.count:
            ends.append(death.at)  # if that was the end of what listened, it has died again without listening
        over = max(ends, default=None)
        if over is None:
            return False
        began = any(
            start.ended_at and over < start.ended_at and (start.count > 1 or start.ended_at <= death.ended_at) for start in starts
        )
        served = self.last_served
        listened = any(event.ended_at and event.ended_at > over for event in said)
        return began and not listened and (served is None or served <= over + SECOND)

    def is_of_a_past_life(self, event: Event) -> bool:
        """Return whether the service was stopped after something happened to it, and has told since that it listens."""
        events = self.events(Symptom.LISTENS_ON, Symptom.PROCESS_STOPPED)
        stops = [
            one.at
            for one in events
            if one.symptom is Symptom.PROCESS_STOPPED and one.detail.startswith(_STOPPED) and one.at and event.ended_at
            if one.at > event.ended_at
        ]
        said = [one.ended_at for one in events if one.symptom is Symptom.LISTENS_ON and one.ended_at]
        return bool(stops) and any(at > max(stops) for at in said)

    @cached_property
    def at_start(self) -> tuple[Event, ...]:
        """What tells that the target's service ended by itself before it began to listen."""
        return tuple(filter(self.ended_at_start, self.events(Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED)))

    @cached_property
    def killer(self) -> str:
        """The one request whose connections break while others are answered: "GET /path"; "" where there is none.

        Where a server is stopped, or cannot start, the connections of all paths break.
        """
        broken = [tally for tally in self.tallies if tally.symptom in (Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER)]
        first = min((tally.first for tally in broken if tally.first), default=None)
        answered = self.last_answered
        if first is None or answered is None or answered <= first:
            return ""
        closed = next((tally for tally in broken if tally.symptom is Symptom.CLOSED_BEFORE_HEADER), None)
        requests = dict(closed.requests) if closed else {}
        worst = max(requests, key=lambda request: requests[request], default="")
        is_it = requests and requests[worst] >= KILLS and requests[worst] >= KILLING * sum(requests.values())
        return worst if is_it and worst.partition(" ")[2] not in ("", "/") else ""

    def deaths_at_break(self, *symptoms: Symptom) -> tuple[Event, ...]:
        """Return what died on the target's machine at the moment when connections to it began to break, or to be refused, where nothing is left of it.

        For a target without a known service or process, of which no name is known.
        """
        seen = {t.symptom for t in self.tallies}
        has_served = bool(seen & BROKEN or (self.traffic and self.traffic.last_success))
        broke = min((t.first for t in self.tallies if t.symptom in BROKEN | {Symptom.CONNECT_REFUSED} and t.first), default=None)
        broke = broke if has_served else None  # what never answered did not die just now
        if broke is None or self.host is None or self.listeners != () or self.services:
            return ()
        return tuple(
            event
            for event in self.host.events or ()
            if event.symptom in symptoms and event.at is not None and broke - BEFORE <= event.at <= broke + AFTER
        )

    def odds_of(self, event: Event) -> float:
        """Return the log-odds that an event at the moment when the target broke, of which no more is known, is no coincidence.

        The machine may kill others all the time: of so many groups at other moments, so likely is one by chance at this one.
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
        """Return the kernel's kills for memory of the target's program at the moments when its manager saw it die by SIGKILL.

        The kernel tells neither unit nor a process id that another process namespace knows; version 1 cgroups tell systemd nothing.
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
        )

    def words(self, *symptoms: Symptom) -> tuple[Tally, ...]:
        """Return tallies of application, service and kernel logs (not of gateways) with one of these symptoms.

        Such lines carry no target (but the address that an application says it listens on). They are the target's own where only
        one backend fails, or where their program or unit is known to serve it.
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
                or (self.target is None and not failing)  # an application alone names the address that it wants itself
            )
            and (
                alone or tally.unit in units - {""} or any(_same_program(tally.process or tally.program, name) for name in names)
            )
        )

    @cached_property
    def path(self) -> NetworkPath | None:
        """How the proxy's machine would send to the target; None where unknown."""
        return next((x for x in self.here.paths or () if self.target is not None and x.address == self.target.host), None)

    @cached_property
    def entrances(self) -> tuple[Probe, ...]:
        """Our own requests through the proxy on the target's routes."""
        places = dict.fromkeys(route.at for route in self.routes if route.at)
        return tuple(probe for at in places for probe in self.joins.entrances.get(at, ()))

    @cached_property
    def pressure(self) -> tuple[Pressure, ...]:
        """How short the target's machine, and the cgroup of its processes, are."""
        groups = {p.cgroup for p in self.processes if p.cgroup}
        found = (self.host.pressure if self.host else None) or ()
        return tuple(x for x in found if x.scope == "machine" or x.scope in groups)

    def resolutions(self, name: str) -> tuple[Resolution, ...]:
        """Return what a name means to the proxy now."""
        return tuple(x for x in self.here.names or () if x.name == name)

    @cached_property
    def explains_notices(self) -> bool:
        """True where lines that are no failure of the gateway may be the answer: files were given, and nothing else is in them."""
        return self.offline and not self.has_failed

    @cached_property
    def has_failed(self) -> bool:
        """True where the logs tell of any failure, whatever its target."""
        logs = self.here.logs
        return any(map(is_failure, logs.tallies if logs else ()))

    # --- in time

    @cached_property
    def failures(self) -> tuple[Tally, ...]:
        """The tallies of gateways, without what is no failure by itself."""
        return tuple(filter(is_failure, self.tallies))

    @cached_property
    def first_failure(self) -> datetime | None:
        """When the target failed first in the window."""
        return min((t.first for t in self.failures if t.first), default=None)

    @cached_property
    def last_failure(self) -> datetime | None:
        """When the target failed last in the window."""
        return max((t.last for t in self.failures if t.last), default=None)


BROKEN = frozenset({Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY})
GAP = (  # what requests meet while a server is restarted
    *(Symptom.CONNECT_REFUSED, Symptom.SOCKET_PATH_MISSING, Symptom.STALE_ENDPOINT),
    *(Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY),
)
_STOPPED = ("Stopped ", "stopped", "Deactivated ")  # how what tells of a stop begins when it is over
_DIED = frozenset({Symptom.OOM_KILLED, Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED})
_LIFE = (*_DIED, Symptom.PROCESS_STARTED, Symptom.PROCESS_STOPPED)
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
DEATHS = frozenset({Symptom.OOM_KILLED, Symptom.PROCESS_CRASHED})
BEFORE, AFTER = timedelta(seconds=0.5), timedelta(seconds=1.2)  # of the second in which the proxy told the first failure
KILLS, KILLING = 3, 0.5  # broken connections of one path, and their share: those of others break as the same process ends
RESTART = timedelta(seconds=10)  # that a service takes to stop after it was told to
BESIDE = timedelta(seconds=3)  # log times are whole seconds, a process's start is known to about one
SECOND = timedelta(seconds=1)  # of which logs tell no parts
CLOCK = timedelta(seconds=2)  # log times are whole seconds, the kernel's are reckoned from the time since boot


def _died_otherwise(service: Service) -> bool:
    """Return whether a service ended in another way than by SIGKILL, as its manager saw it (128 + 9: what a shell makes of that)."""
    ended = service.signal not in (None, signal.SIGKILL) or service.exit_code not in (None, 0, 128 + signal.SIGKILL)
    return service.is_running is False and ended


def _has_failed(service: Service) -> bool:
    """Return whether a service ended by a failure; SIGTERM is how it is stopped."""
    stopped = service.signal in (None, signal.SIGTERM) and service.exit_code in (None, 0, 128 + signal.SIGTERM)
    return service.oom_killed or not stopped or service.result not in ("", "success") or service.state in ("failed", "FATAL")


def _program(argv: tuple[str, ...]) -> str:
    return argv[0].rsplit("/", 1)[-1] if argv else ""


def _same_program(one: str, other: str) -> bool:
    """Return whether two process names mean one program: the kernel cuts them at 15 bytes, versions are appended (php-fpm8.2)."""
    one, other = one.split(":")[0].strip(), other.split(":")[0].strip()
    if not one or not other:
        return False
    shorter, longer = sorted((one[:15], other[:15]), key=len)
    return longer.startswith(shorter) and (len(shorter) > 3 or len(longer) == len(shorter))


def _same_group(one: str, other: str) -> bool:
    """Return whether two cgroups can be one: each may be told from within another namespace, whose root is below the other's."""
    one, other = one.removeprefix("/.."), other.removeprefix("/..")
    return one.endswith(other) or other.endswith(one)


def _looks_like_application(path: str) -> bool:
    """Return whether a listening unix socket may be an application's: not one of the system's own."""
    system = (
        "/run/systemd/",
        "/run/dbus/",
        "/run/udev/",
        "/run/user/",
        "/var/run/dbus/",
        "/run/docker",
        "/run/containerd",
        "/tmp/.X11",
        "/run/snapd",
    )
    return path.startswith("/") and not path.startswith(system)


def is_of_the_web(probe: Probe) -> bool:
    """Return whether what a probe got is the text of a web server whose framing is wrong: HTTP, HTML or JSON without a valid status line."""
    is_unframed = probe.symptom is Symptom.NO_STATUS_LINE or not probe.speaks  # that is asked in HTTP only
    return is_unframed and probe.first_bytes.strip('"').startswith(("HTTP/", "<", "{"))
