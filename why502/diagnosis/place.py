"""Place: a target, the machines it is seen from, and the joins between the sections of their snapshots."""

from __future__ import annotations

import posixpath
import signal
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from why502.diagnosis.index import FAILED, Doors, Joins, accepts, addresses, merged, takes
from why502.gateways.behaviour import behaviour, programs
from why502.model.config import Peer, Position, Route, Upstream
from why502.model.file_kind import FileKind
from why502.model.logs import Symptom, Tally, TargetTraffic
from why502.model.snapshot import (
    Dependency,
    Listener,
    NetworkSpace,
    PhpPool,
    Probe,
    Process,
    Proxy,
    PublishedPort,
    Service,
    Snapshot,
    SocketPath,
)
from why502.model.target import Target

APPLICATION_ERROR = 500  # errors above it are often those of a further gateway
BROKEN = frozenset({Symptom.CLOSED_BEFORE_HEADER, Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY})
BESIDE = timedelta(seconds=3)  # log times are whole seconds; a process's start time is accurate to about one second
SYSTEM_PORTS = 1023  # the last that only root may listen on (ip(7)): services of the machine, not applications
# Programs that listen on nearly every server and are never the application behind a proxy.
_INFRASTRUCTURE = frozenset(
    "sshd systemd systemd-resolve systemd-resolved systemd-network dnsmasq named unbound chronyd ntpd rpcbind rpc.statd cupsd"
    " exim4 master postfix dovecot mysqld mariadbd postgres redis-server memcached mongod beam.smp epmd prometheus node_exporter"
    " prometheus-node alertmanager containerd dockerd docker-proxy nginx haproxy apache2 httpd varnishd envoy caddy traefik"
    " snmpd zabbix_agentd"
    " vsftpd proftpd smbd nmbd slapd fail2ban-server avahi-daemon supervisord tailscaled init".split()
)
_NOWHERE = "nowhere"  # no network namespace: that of a container that has ended
_METRICS = ("exporter", "prometheu")  # parts of process names, which the kernel cuts to 15 characters


def _is_no_application(process: Process) -> bool:
    """Return whether a process is infrastructure, a metrics exporter, or this program itself (`why502 watch` serves metrics)."""
    is_ours = any(posixpath.basename(word) == "why502" for word in process.argv[:4])
    return is_ours or process.name.split(":")[0] in _INFRASTRUCTURE or any(word in process.name for word in _METRICS)


class VantageKind(StrEnum):
    """The kinds of places where a target can run."""

    MACHINE = "machine"
    CONTAINER = "container"
    POD = "pod"


@dataclass(frozen=True, eq=False, slots=True)
class Vantage:
    """A collected machine, container or pod, besides the proxy's own machine, that has the target's address."""

    snapshot: Snapshot
    kind: VantageKind = VantageKind.MACHINE


@dataclass(frozen=True, eq=False)
class Place:
    """One target as seen from the proxy's machine (`here`), and the collected places that have its address (`vantages`).

    If `target` is None, this is the case of the proxy itself: it covers everything that concerns no single address.
    """

    here: Snapshot
    vantages: tuple[Vantage, ...] = ()
    target: Target | None = None
    offline: bool = False
    index: Joins | None = None  # of `here`, if several cases share it
    only: Route | None = None  # if set, only this one of the routes to the target is examined

    @cached_property
    def joins(self) -> Joins:
        """The indexes of `here`."""
        return self.index or Joins(self.here)

    @cached_property
    def host(self) -> Snapshot | None:
        """The snapshot of the machine that the target is on; None if it was not collected."""
        if self.is_local:
            return self.here
        return self.vantages[0].snapshot if self.vantages else None

    @cached_property
    def is_local(self) -> bool:
        """True if the target is on the proxy's own machine, in any network namespace."""
        return self.target is None or self.home is not None or self.ended_container is not None

    @cached_property
    def ended_container(self) -> Service | None:
        """The container that should serve the target and has ended, and its address with it; None if it runs, or is unknown.

        One that is started again and again has a new address each time.
        """
        if self.target is None or self.home is not None:
            return None
        down = {(one.engine, one.name, one.owner_uid) for one in self.here.containers or () if one.is_down}
        ended = (one for one in self.here.services or () if (one.manager, one.name, one.owner_uid) in down)
        return next((one for one in ended if self.target in one.targets), None)

    @cached_property
    def network(self) -> str:
        """The network namespace that the proxy connects from, as in `Proxy.network`."""
        return self.proxy.network if self.proxy else ""

    @cached_property
    def home(self) -> str | None:
        """The network namespace of this machine in which the target is; None if it is elsewhere, or unknown.

        A namespace of no container may be all of another machine's, as `unshare` and virtual machines make them: where a
        snapshot was collected inside of it, that one knows it better.
        """
        if self.target is None:
            return self.network
        found = self.joins.homes.of(self.target, self.network)
        space = self.joins.homes.spaces.get(found or "")
        is_collected = bool(self.vantages) and space is not None and not space.container and found != self.network
        return None if is_collected else found

    @cached_property
    def is_answering(self) -> bool:
        """True if the target answered a request of ours, sent from the proxy's network namespace."""
        return (self.network, self.target) in self.joins.answering

    @cached_property
    def published(self) -> tuple[NetworkSpace, PublishedPort] | None:
        """The container that an engine forwards the target to, and the port inside; None if it does not."""
        if self.target is None or self.target.is_unix or self.home != "":
            return None
        spaces = self.joins.homes.spaces.values()
        return next(((space, one) for space in spaces for one in space.published if accepts(one.outer, self.target)), None)

    def listeners_in(self, network: str) -> tuple[Listener, ...]:
        """Return the TCP listeners of another network namespace of the proxy's machine."""
        return tuple(one for one in self.joins.reachable(network) if not one.target.is_unix)

    @cached_property
    def shares_network(self) -> bool:
        """True if the target is in the proxy's own network namespace: nothing lies between them."""
        return self.home == self.network

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """The routes that lead to the target (all routes, for the proxy's own case)."""
        if self.only is not None:
            return (self.only,)
        if self.target is None:
            return self.joins.routes
        named = () if self.here.names is not None else self.joins.routes_by_name.get(self.target.port, ())
        return self.joins.routes_to(self.target) or tuple(named)

    @cached_property
    def orphans(self) -> tuple[Listener, ...]:
        """The listeners that were bound to the target's path and still listen although that file is gone;
        () if its service is stopped.
        """
        is_stopped = any(service.is_running is False for service in self.services)
        if self.target is None or not self.target.is_unix or is_stopped:
            return ()
        found = self.host.listeners if self.host else None
        return tuple(x for x in found or () if x.is_at_path is False and x.target == self.target and x.pids)

    @cached_property
    def is_named(self) -> bool:
        """True if a file on disk names the target, or if a name or variable there may mean it."""
        return self.joins.is_open or self.joins.leads_to(self.target)

    @cached_property
    def route(self) -> Route | None:
        """The route with the most failures, else the first."""
        if not self.routes:
            return None
        servers = {tally.server: tally.count for tally in sorted(self.tallies, key=lambda x: x.count)}
        taken = self.failures_of
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
    def failures_of(self) -> Counter[Position | None]:
        """The number of failed requests on each route, by its position; empty if the target has only one."""
        taken: Counter[Position | None] = Counter()
        if len(self.routes) > 1:
            for tally in self.failures:
                for request, count in tally.requests:
                    taken.update(dict.fromkeys((route.at for route in self.joins.taken(request, tally.server)), count))
        return taken

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
        """The group in which the proxy had no server left to try, in the proxy's own case; None if there was none."""
        tally = self.tally(Symptom.NO_LIVE_UPSTREAMS) if self.target is None else None
        return next((group for proxy in self.proxies for group in proxy.upstreams if tally and group.name == tally.group), None)

    @cached_property
    def is_left_out(self) -> bool:
        """True if the proxy had no server left to try in the target's group."""
        empty = self.joins.tallies_of(Symptom.NO_LIVE_UPSTREAMS)
        known = [self.joins.groups[tally.group][1] for tally in empty if tally.group in self.joins.groups]
        if self.target is None or not empty or self.group in known:
            return bool(empty) and self.group in known
        if any(self.target in self.joins.members(group.peers) for group in known):
            return True
        kinds = {self.joins.proxy_of[id(route)].kind for route in self.routes}
        names = {name for route in self.routes for name in (route.server, *route.server_names)}
        return any(t.proxy in kinds and t.group not in self.joins.groups and (not t.server or t.server in names) for t in empty)

    @cached_property
    def proxies(self) -> tuple[Proxy, ...]:
        """The proxies of the machine (() if unknown)."""
        return self.here.proxies or ()

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy whose routes lead to the target; of several the one whose route had the most failures."""
        if self.target is None:
            return self.proxies[0] if len(self.proxies) == 1 else None
        return self.joins.proxy_of.get(id(self.route)) if self.route else None

    @cached_property
    def protocol(self) -> str:
        """The protocol between the proxy and the target: http, https, fastcgi…; "" if unknown."""
        if self.route is not None:
            return self.route.protocol
        return next((tally.protocol for tally in self.tallies if tally.protocol), "")

    @cached_property
    def tallies(self) -> tuple[Tally, ...]:
        """The tallies of the target; for the proxy's own case, those without a target."""
        found = self.joins.tallies.get(self.target, ())
        # Messages of applications and the kernel name no target. They belong to any target that fails (see `words`).
        if self.target is None and self.joins.failing:
            return tuple(tally for tally in found if tally.proxy is not None)
        return tuple(found)

    def tally(self, *symptoms: Symptom) -> Tally | None:
        """Return the sum of these symptoms of the target in the logs; None if there are none."""
        return merged(tally for tally in self.tallies if tally.symptom in symptoms)

    def anywhere(self, *symptoms: Symptom) -> tuple[Tally, ...]:
        """Return the tallies of these symptoms in all logs of all machines, whatever their target."""
        seen = (self.here, *(vantage.snapshot for vantage in self.vantages))
        logs = [snapshot.logs for snapshot in seen if snapshot.logs is not None]
        return tuple(tally for log in logs for tally in log.tallies if tally.symptom in symptoms)

    @cached_property
    def traffic(self) -> TargetTraffic | None:
        """The access log's figures for the target's traffic."""
        return self.joins.traffic.get(self.target) if self.target is not None else None

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
        told = [probe for probe in self.probes if probe.symptom or probe.is_answer]
        return all(probe.symptom is None for probe in told) if told else None

    def seen(self, *symptoms: Symptom) -> bool:
        """Return whether logs or probes show one of these symptoms on the target."""
        return self.tally(*symptoms) is not None or self.probe(*symptoms) is not None

    @cached_property
    def listeners(self) -> tuple[Listener, ...] | None:
        """The listeners that would take a connection to the target; None if that is unknown.

        It is also unknown if the target answers and no listener matches: then the listener was not recognized.
        """
        if self.target is None or self.host is None or self.host.listeners is None:
            return None
        if self.ended_container is not None:
            return ()
        near = self._doors.near(self.target) if self._doors else self._reachable
        found = tuple(listener for listener in near if takes(listener, self.target))
        return found if found or not self.is_answering else None

    @cached_property
    def queued(self) -> int:
        """The number of connections that the backend has yet to accept: by its listeners' queues, else by the socket tables."""
        known = [listener.queued for listener in self.listeners or () if listener.queued is not None]
        kernel = self.host.kernel if self.host else None
        return sum(known) if known or kernel is None else (kernel.of(self.target, kernel.unaccepted) or 0)

    def heard_at(self, target: Target) -> list[Listener]:
        """Return the listeners of the target's machine that take connections to another target."""
        near = self._doors.near(target) if self._doors else self._reachable or ()
        return [one for one in near if takes(one, target)]

    @cached_property
    def _doors(self) -> Doors | None:
        """The same listeners by target, if the target is on the proxy's machine."""
        return self.joins.doors(self._network) if self.host is self.here else None

    @property
    def _network(self) -> str:
        return self.home or ("" if self.ended_container is None else _NOWHERE)

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
        """Listeners of applications that no route names, on the target's machine: the backend may really listen there."""
        return tuple(listener for listener in self._unnamed if self.process_of(listener) is not None)

    @cached_property
    def has_stray(self) -> bool:
        """True if an application listens on a socket of any kind that no route names, or if such a listener's owner is unknown.

        Listeners that already ran while the target still answered are excluded: they belong to another application.
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
        """Such listeners whose owner is unknown: the backend may or may not be among them."""
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
        own = {pid for proxy in self.proxies for pid in proxy.pids}
        aside = {id(one) for one in self._aside}
        reachable = {id(listener) for listener in self._reachable}
        unnamed = self.joins.unnamed if self.host is self.here else self._reachable
        found = []
        for listener in unnamed:
            process = self.process_of(listener)
            if id(listener) not in reachable or listener.target.is_unix != is_unix:
                continue
            is_gateway = bool(own & set(listener.pids)) or (process is not None and _is_no_application(process))
            if is_gateway and id(listener) not in aside:
                continue
            if listener.target.is_unix and not _looks_like_application(listener.target.path):
                continue
            found.append(listener)
        return tuple(found)

    @cached_property
    def _aside(self) -> tuple[Listener, ...]:
        """The listeners of other gateways of this machine that nothing leads to: neither a route of another one, nor a public
        port. One that stood behind the case's proxy may listen elsewhere now. Where it has wider ones, those on loopback are
        its admin interface.
        """
        unnamed = {id(listener) for listener in self.joins.unnamed}
        found: list[Listener] = []
        for proxy in self.proxies:
            pids = set(proxy.pids) if proxy is not self.proxy else set()
            own = [one for one in self.here.listeners or () if not one.target.is_unix and pids & set(one.pids)]
            if all(id(one) in unnamed and one.target.port > SYSTEM_PORTS for one in own):
                found += [one for one in own if not one.target.is_loopback] or own
        return tuple(found)

    @cached_property
    def inner_gateway(self) -> Process | None:
        """The process of a further gateway that listens on the target: its answers depend on the backend behind it."""
        found = (self.process_of(listener) for listener in self.listeners or ())
        return next((process for process in found if process and process.name.split(":")[0] in programs()), None)

    @cached_property
    def behind_inner(self) -> frozenset[Target]:
        """The addresses behind the gateway that listens on the target; empty if the listener is not a gateway, or is unknown."""
        gateway = self.inner_gateway
        if gateway is None or self.target is None:
            return frozenset()
        found: set[Target] = set()
        for proxy in self.proxies:
            pids = set(proxy.pids)
            if not {gateway.pid, gateway.ppid} & pids:  # HAProxy's worker is a child of its master
                continue
            for route in proxy.routes:
                ports = [word.split(" ")[0].rpartition(":")[2] for word in route.listens]
                if (
                    not behaviour(proxy.kind).routes_have_listens
                    or not ports
                    or str(self.target.port) in ports
                    or self.target.is_unix
                ):
                    found.update(target for peer in route.peers for target in addresses(peer, self.here))
        return frozenset(found - {self.target})

    @cached_property
    def missing_gateway(self) -> Proxy | None:
        """A further gateway of this machine that should listen on the target and does not run; None if there is none."""
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
        """Return the name, pid and user of the process that owns a listener, in words; root is left out."""
        process = self.process_of(listener)
        if process is None:
            return "an application"
        user = f", user {process.user or process.uid}" if process.uid else ""
        inside = f" in container {process.container_name}" if process.container_name else ""
        return f"{process.name} (pid {process.pid}{user}){inside}"

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """The processes that listen on the target, and their children; without the init that holds a socket for its service."""
        found = (self.host.processes if self.host else None) or ()
        init = {p.pid for p in found if p.is_init}
        pids = {pid for listener in self.listeners or () for pid in listener.pids} - init
        return tuple(p for p in found if p.pid in pids or p.ppid in pids)

    @cached_property
    def has_left(self) -> bool:
        """True if the processes that were seen listening on the target had gone when all processes were listed."""
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
        """The services of the target, from their managers."""
        return tuple(x for x in (self.host.services if self.host else None) or () if self.target in x.targets)

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
    def last_served(self) -> datetime | None:
        """When the target last answered, or held a connection that then broke; None if neither is known."""
        moments = [tally.first for tally in self.tallies if tally.symptom in BROKEN]
        return max((at for at in (*moments, self.last_answered) if at is not None), default=None)

    @cached_property
    def errs(self) -> bool:
        """Whether clients got a server error on its routes, by an access log that names no address."""
        places = {route.at for route in self.routes if route.at is not None}
        paths = self.here.logs.paths if self.here.logs else ()
        return any(path.at in places and any(status.startswith("5") for status in path.statuses) for path in paths)

    @cached_property
    def errs_since(self) -> int | None:
        """The error that its application sends for our repeats of the failed requests, if no client was served since; else None.

        An error here means that the failures were not the gap of a restart, whatever was restarted.
        """
        last, answered = self.last_failure, self.last_answered
        told = [probe for probe in self.probes if probe.repeats]
        if last is None or not told or (answered is not None and answered > last):
            return None
        is_so = all(probe.status == APPLICATION_ERROR and probe.symptom is None for probe in told)
        return APPLICATION_ERROR if is_so else None

    @cached_property
    def last_error(self) -> datetime | None:
        """When its application last answered 500, to a client or to our repeat of a failed request; None if unknown."""
        places = {route.at for route in self.routes if route.at is not None}
        paths = self.here.logs.paths if self.here.logs else ()
        moments = [path.last_refused for path in paths if path.at in places and str(APPLICATION_ERROR) in path.statuses]
        moments += [probe.at for probe in self.probes if probe.repeats and probe.status == APPLICATION_ERROR]
        return max((at for at in moments if at is not None), default=None)

    @cached_property
    def last_answered(self) -> datetime | None:
        """When the target last answered; None if no answer is known.

        Where the log names targets, it alone tells: what a client got may be an error page with a good status.
        """
        if self.traffic is not None:
            return self.traffic.last_success
        places = {route.at for route in self.routes if route.at is not None}
        alone = all(len(route.peers) == 1 for route in self.routes)
        paths = self.here.logs.paths if self.here.logs and alone else ()
        return max((path.last_served for path in paths if path.at in places and path.last_served), default=None)

    @cached_property
    def unanswered(self) -> int:
        """How many requests to it the access logs have, if it answered none of them; 0 if it did, or if that is unknown."""
        if traffic := self.traffic:
            return traffic.attempts if traffic.attempts == traffic.failures else 0
        places = {route.at for route in self.routes if route.at is not None}
        if not places or any(len(route.peers) != 1 for route in self.routes):
            return 0
        paths = [path for path in (self.here.logs.paths if self.here.logs else ()) if path.at in places]
        counts = Counter(status for path in paths for status in Counter(path.statuses).elements())
        return counts.total() if all(status in FAILED for status in counts) else 0

    @cached_property
    def born(self) -> datetime | None:
        """When the current listener of the target began to listen, by the start of its oldest process or by the unix socket;
        None if unknown.
        """
        path = self.socket_path
        begun = [process.started_at for listener in self.listeners or () if (process := self.process_of(listener))]
        made = path.modified_at if path is not None and path.kind is FileKind.SOCKET else None
        return max((at for at in (*begun, made) if at is not None), default=None)

    @cached_property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The connections of the target's processes, and the dependencies that they report."""
        return tuple(x for x in (self.host.dependencies if self.host else None) or () if x.target == self.target)

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

    @cached_property
    def machines(self) -> tuple[Snapshot, ...]:
        """The target's machine and the proxy's, as far as they were collected."""
        beyond = () if self.is_local else tuple(vantage.snapshot for vantage in self.vantages)
        return (*beyond, self.here)

    @cached_property
    def failures(self) -> tuple[Tally, ...]:
        """The tallies of gateways, without those that are not failures by themselves."""
        return tuple(tally for tally in self.tallies if tally.is_failure)

    @cached_property
    def first_failure(self) -> datetime | None:
        """When the target first failed in the window."""
        return min((t.first for t in self.failures if t.first), default=None)

    @cached_property
    def last_failure(self) -> datetime | None:
        """When the target last failed in the window."""
        return max((t.last for t in self.failures if t.last), default=None)


def _has_failed(service: Service) -> bool:
    """Return whether a service ended by a failure; SIGTERM is a normal stop."""
    stopped = service.signal in (None, signal.SIGTERM) and service.exit_code in (None, 0, 128 + signal.SIGTERM)
    return service.oom_killed or not stopped or service.result not in ("", "success") or service.state in ("failed", "FATAL")


def _looks_like_application(path: str) -> bool:
    """Return whether a listening unix socket may be an application's: the system's own sockets are excluded."""
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
