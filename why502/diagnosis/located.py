"""A target with the machine and the network namespace that it is in, and the sockets and processes there."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from why502.diagnosis.listening import Doors, accepts, takes
from why502.diagnosis.routed import RoutedTarget
from why502.diagnosis.targets import behind
from why502.gateways.behaviour import programs
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Listener, NetworkSpace, PublishedPort, Snapshot
from why502.model.target import Target

BESIDE = timedelta(seconds=2)  # log times are cut to whole seconds; a process's start time is accurate to about one second
SYSTEM_PORTS = 1023  # the last that only root may listen on (ip(7)): services of the machine, not applications
# Programs that listen on nearly every server and are never the application behind a proxy.
_INFRASTRUCTURE = frozenset(
    "sshd systemd systemd-resolve systemd-resolved systemd-network dnsmasq named unbound chronyd ntpd rpcbind rpc.statd cupsd"
    " exim4 master postfix dovecot mysqld mariadbd postgres redis-server memcached mongod beam.smp epmd prometheus node_exporter"
    " prometheus-node alertmanager containerd dockerd docker-proxy snmpd"
    " zabbix_agentd vsftpd proftpd smbd nmbd slapd fail2ban-server avahi-daemon supervisord tailscaled init".split()
)
_NOWHERE = "nowhere"  # no network namespace: that of a container that has ended
_METRICS = ("exporter", "prometheu")  # parts of process names, which the kernel cuts to 15 characters


@dataclass(frozen=True, eq=False)
class LocatedTarget(RoutedTarget):
    """A routed target, and what listens on it or near it."""

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
    def machines(self) -> tuple[Snapshot, ...]:
        """The target's machine and the proxy's, as far as they were collected."""
        beyond = () if self.is_local else tuple(vantage.snapshot for vantage in self.vantages)
        return (*beyond, self.here)

    @cached_property
    def has_never_overflowed(self) -> bool:
        """True if the kernel has not dropped a single connection since its start because an accept queue was full, and the target
        shares its network.

        Source: net/ipv4/tcp_input.c, tcp_conn_request: each such SYN counts in TcpExtListenOverflows.
        """
        kernel = self.host.kernel if self.host else None
        is_here = self.target is not None and not self.target.is_unix and self.home is not None and self.shares_network
        return is_here and kernel is not None and kernel.listen_overflows == 0

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
    def unclaimed_listeners(self) -> tuple[Listener, ...]:
        """Listeners of applications that no route names, on the target's machine: the backend may really listen there."""
        return tuple(listener for listener in self._unnamed if self.process_of(listener) is not None)

    @cached_property
    def unclaimed_services(self) -> tuple[Listener, ...]:
        """Listeners of databases and other servers that no route names: where a gateway passes on bare connections, the backend
        may be one of them.
        """
        own = {pid for proxy in self.proxies for pid in proxy.pids}
        reachable = {id(listener) for listener in self._reachable or ()}
        named = {id(listener) for listener in self.unclaimed_listeners}
        unnamed = self.joins.unnamed if self.host is self.here else self._reachable or ()
        return tuple(
            one
            for one in unnamed
            if id(one) in reachable and id(one) not in named and not one.target.is_unix and not own & set(one.pids)
            if (process := self.process_of(one)) is not None and not process.is_init
        )

    @cached_property
    def has_stray(self) -> bool:
        """True if an application listens on a socket of any kind that no route names, or if such a listener's owner is unknown.

        Listeners that already ran while the target still answered are excluded: they belong to another application.
        """
        others = self._unnamed_of(is_unix=not (self.target and self.target.is_unix))
        return bool(self.unidentified_listeners) or any(
            not self.was_beside(listener) for listener in (*self.unclaimed_listeners, *others)
        )

    def was_beside(self, listener: Listener) -> bool:
        """Return whether the process that owns a listener ran before the target answered for the last time."""
        process, served = self.process_of(listener), self.last_served
        if process is None or process.started_at is None or served is None:
            return False
        return process.started_at + BESIDE < served

    @cached_property
    def unidentified_listeners(self) -> tuple[Listener, ...]:
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
            found.update(behind(proxy, self.target, self.here))
        return frozenset(found - {self.target})

    @cached_property
    def missing_gateway(self) -> Proxy | None:
        """A further gateway of this machine that should listen on the target and does not run; None if there is none."""
        if self.target is None or self.listeners != ():
            return None
        return next((x for x in self.proxies if not x.is_running and any(accepts(y, self.target) for y in x.listens)), None)

    def owners_of(self, listener: Listener) -> list[Process]:
        """Return the processes that hold a listener."""
        if self.host is self.here:
            return [self.joins.processes[pid] for pid in listener.pids if pid in self.joins.processes]
        return [p for p in (self.host.processes if self.host else None) or () if p.pid in listener.pids]

    def process_of(self, listener: Listener) -> Process | None:
        """Return the process that owns a listener, the oldest of several; the service for which init holds it, if it runs."""
        owners = self.owners_of(listener)
        return min(
            owners,
            key=lambda p: (p.is_init, p.started_at or datetime.max.replace(tzinfo=self.here.taken_at.tzinfo), p.pid),
            default=None,
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


def _is_no_application(process: Process) -> bool:
    """Return whether a process is infrastructure, a metrics exporter, or this program itself (`why502 watch` serves metrics)."""
    is_ours = any(posixpath.basename(word) == "why502" for word in process.argv[:4])
    return is_ours or process.name.split(":")[0] in _INFRASTRUCTURE | programs() or any(word in process.name for word in _METRICS)


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
