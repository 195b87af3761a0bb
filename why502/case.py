"""Case: the snapshots as seen from one target, with every join between their sections."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import msgspec

from why502.model.config import Peer, Route, Upstream
from why502.model.logs import Symptom, Tally, TargetTraffic
from why502.model.snapshot import (
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
_INFRASTRUCTURE = frozenset(
    "sshd systemd systemd-resolve systemd-resolved systemd-network dnsmasq named unbound chronyd ntpd rpcbind rpc.statd cupsd"
    " exim4 master postfix dovecot mysqld mariadbd postgres redis-server memcached mongod beam.smp epmd prometheus node_exporter"
    " prometheus-node alertmanager containerd dockerd docker-proxy nginx haproxy apache2 httpd varnishd envoy caddy traefik"
    " snmpd zabbix_agentd"
    " vsftpd proftpd smbd nmbd slapd fail2ban-server avahi-daemon supervisord tailscaled init".split()
)


def addresses(peer: Peer, snapshot: Snapshot) -> tuple[Target, ...]:
    """Return the addresses that a peer means: its own, or those that its name resolves to now (none when unknown)."""
    if peer.target is None:
        return ()
    if peer.target.is_address:
        return (peer.target,)
    return tuple(
        dict.fromkeys(
            Target(host=address, port=peer.target.port)
            for name in snapshot.names or ()
            if name.name == peer.target.host
            for address in name.addresses
        )
    )


def routes(snapshot: Snapshot) -> tuple[Route, ...]:
    """Return the routes of all proxies."""
    return tuple(route for proxy in snapshot.proxies or () for route in proxy.routes)


def targets(snapshot: Snapshot) -> tuple[Target, ...]:
    """Return every address that some proxy is configured to connect to, or that its logs say it did."""
    configured = (
        target for route in routes(snapshot) for peer in route.peers if not peer.is_down for target in addresses(peer, snapshot)
    )
    logged = (tally.target for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.target is not None)
    return tuple(dict.fromkeys((*configured, *logged)))


def unheard(snapshot: Snapshot) -> tuple[Target, ...] | None:
    """Return the targets on this machine that a running proxy names and nothing listens on; None where listeners are unknown."""
    if snapshot.listeners is None:
        return None
    own = set(snapshot.addresses or ())
    by_port: dict[int, list[Listener]] = {}
    for listener in snapshot.listeners:
        by_port.setdefault(listener.target.port, []).append(listener)
    wanted = (
        (target, proxy.network)
        for proxy in snapshot.proxies or ()
        if proxy.is_running
        for route in proxy.routes
        for peer in route.peers
        if not peer.is_down
        for target in addresses(peer, snapshot)
        if target.is_loopback or target.host in own
    )
    return tuple(
        target
        for target, network in dict.fromkeys(wanted)
        if not any(
            accepts(x.target, target, x.only_v6) for x in by_port.get(target.port, ()) if target.is_unix or x.network == network
        )
    )


def merged(tallies: Iterable[Tally]) -> Tally | None:
    """Return one tally that sums those given; None where there are none. What differs between them is the first's."""
    found = list(tallies)
    if len(found) <= 1:
        return found[0] if found else None
    head = max(found, key=lambda tally: tally.count)
    shortest = [x.duration_min_s for x in found if x.duration_min_s is not None]
    longest = [x.duration_max_s for x in found if x.duration_max_s is not None]
    return msgspec.structs.replace(
        head,
        count=sum(x.count for x in found),
        hidden=sum(x.hidden for x in found),
        first=min((x.first for x in found if x.first), default=None),
        last=max((x.last for x in found if x.last), default=None),
        duration_min_s=min(shortest, default=None),
        duration_max_s=max(longest, default=None),
        samples=(*head.samples, *(s for x in found if x is not head for s in x.samples))[:3],
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
        every = routes(self.here)
        if self.target is None:
            return every
        return tuple(route for route in every if any(self.target in addresses(peer, self.here) for peer in route.peers)) or tuple(
            route
            for route in every
            if any(peer.target and not peer.target.is_address and peer.target.port == self.target.port for peer in route.peers)
            and self.here.names is None
        )

    @cached_property
    def is_named(self) -> bool:
        """True where some file on disk names the target, or a name or variable there may mean it."""
        peers = [peer for route in routes(self.here) for peer in route.peers]
        return any(peer.target is None or not peer.target.is_address or peer.target == self.target for peer in peers) or any(
            route.has_variables and not route.peers for route in routes(self.here)
        )

    @cached_property
    def route(self) -> Route | None:
        """The route that failed most often, else the first."""
        if not self.routes:
            return None
        servers = {tally.server: tally.count for tally in sorted(self.tallies, key=lambda x: x.count)}
        return max(
            self.routes, key=lambda route: max((servers.get(name, 0) for name in (route.server, *route.server_names)), default=0)
        )

    @cached_property
    def peer(self) -> Peer | None:
        """The configured member that means the target."""
        for route in self.routes:
            for peer in route.peers:
                if self.target in addresses(peer, self.here) or (len(route.peers) == 1):
                    return peer
        return None

    @cached_property
    def group(self) -> Upstream | None:
        """The named group that the target belongs to."""
        names = {route.upstream for route in self.routes if route.upstream}
        return next((group for proxy in self.proxies for group in proxy.upstreams if group.name in names), None)

    @cached_property
    def proxies(self) -> tuple[Proxy, ...]:
        """The proxies of the machine (() where unknown)."""
        return self.here.proxies or ()

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy whose routes lead to the target."""
        if self.target is None:
            return self.proxies[0] if len(self.proxies) == 1 else None
        return next((proxy for proxy in self.proxies if any(route in proxy.routes for route in self.routes)), None)

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
        every = self.here.logs.tallies if self.here.logs else ()
        # Words of applications and the kernel carry no target. They belong to whatever target fails (see `words`).
        is_some_failing = any(tally.target is not None and tally.proxy is not None for tally in every)
        return tuple(
            tally
            for tally in every
            if tally.target == self.target and not (tally.target is None and tally.proxy is None and is_some_failing)
        )

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
        logs = self.here.logs
        return next((x for x in (logs.targets if logs else ()) if x.target == self.target), None)

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """Our own requests straight to the target. Without any, a missing listener on this machine tells how one would end."""
        found = tuple(probe for probe in self.here.probes or () if probe.target == self.target and not probe.through_proxy)
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
        """True where every probe of the target was answered properly, None where there was no probe."""
        return all(probe.symptom is None for probe in self.probes) if self.probes else None

    def seen(self, *symptoms: Symptom) -> bool:
        """Return whether logs or probes show one of these symptoms on the target."""
        return self.tally(*symptoms) is not None or self.probe(*symptoms) is not None

    # --- the target's machine

    @cached_property
    def listeners(self) -> tuple[Listener, ...] | None:
        """The sockets that would take a connection to the target; None where that could not be seen."""
        if self.target is None or self.host is None or self.host.listeners is None:
            return None
        return tuple(listener for listener in self._reachable if accepts(listener.target, self.target, listener.only_v6))

    @cached_property
    def _reachable(self) -> tuple[Listener, ...]:
        """The listeners in the proxy's own network namespace (a unix socket has none)."""
        network = self.proxy.network if self.proxy and self.is_local else ""
        found = self.host.listeners if self.host and self.host.listeners else ()
        return tuple(listener for listener in found if listener.target.is_unix or listener.network == network)

    @cached_property
    def same_port(self) -> tuple[Listener, ...]:
        """Listeners on the target's port that do not take its address (another interface or family)."""
        if self.target is None or self.target.is_unix:
            return ()
        return tuple(
            listener
            for listener in self._reachable
            if listener.target.port == self.target.port and not accepts(listener.target, self.target, listener.only_v6)
        )

    @cached_property
    def strays(self) -> tuple[Listener, ...]:
        """Listeners of applications that no route names, on the target's machine: where the backend may really listen."""
        if self.target is None or self.host is None:
            return ()
        named = targets(self.here)
        own = {pid for proxy in self.proxies for pid in (proxy.pid, *(worker.pid for worker in proxy.workers)) if pid}
        found = []
        for listener in self._reachable:
            process = self.process_of(listener)
            if listener.target.is_unix != self.target.is_unix or any(
                accepts(listener.target, x, listener.only_v6) for x in named
            ):
                continue
            if own & set(listener.pids) or (process and process.name.split(":")[0] in _INFRASTRUCTURE):
                continue
            if listener.target.is_unix and not _looks_like_application(listener.target.path):
                continue
            if process is None:  # nobody we can see: it may be anything
                continue
            found.append(listener)
        return tuple(found)

    def process_of(self, listener: Listener) -> Process | None:
        """Return the process that owns a listener, the oldest of several."""
        owners = [p for p in (self.host.processes if self.host else None) or () if p.pid in listener.pids]
        return min(
            owners, key=lambda p: (p.started_at or datetime.max.replace(tzinfo=self.here.taken_at.tzinfo), p.pid), default=None
        )

    def name_of(self, listener: Listener) -> str:
        """Return the name and pid of the process that owns a listener, in words."""
        process = self.process_of(listener)
        return f"{process.name} (pid {process.pid})" if process else "an application"

    @cached_property
    def processes(self) -> tuple[Process, ...]:
        """The processes that listen on the target, and their children."""
        pids = {pid for listener in self.listeners or () for pid in listener.pids}
        found = (self.host.processes if self.host else None) or ()
        return tuple(p for p in found if p.pid in pids or p.ppid in pids)

    @cached_property
    def socket_path(self) -> SocketPath | None:
        """The unix socket as the proxy's workers see it."""
        if self.target is None or not self.target.is_unix:
            return None
        return next((x for x in self.here.socket_paths or () if x.path == self.target.path), None)

    @cached_property
    def services(self) -> tuple[Service, ...]:
        """The services that serve the target, as their managers know it."""
        return tuple(x for x in (self.host.services if self.host else None) or () if self.target in x.targets)

    @cached_property
    def service(self) -> Service | None:
        """The service that serves the target."""
        return self.services[0] if self.services else None

    @cached_property
    def pools(self) -> tuple[PhpPool, ...]:
        """The PHP-FPM pools that listen on the target."""
        found = (self.host.php_pools if self.host else None) or ()
        return tuple(x for x in found if self.target is not None and x.target is not None and accepts(x.target, self.target))

    @cached_property
    def pool(self) -> PhpPool | None:
        """The PHP-FPM pool that serves the target."""
        return self.pools[0] if self.pools else None

    @cached_property
    def machines(self) -> tuple[Snapshot, ...]:
        """The machine of the target and that of the proxy, as far as they were looked at."""
        return tuple(x for x in ((self.here,) if self.host is self.here else (self.host, self.here)) if x is not None)

    def events(self, *symptoms: Symptom) -> tuple[Event, ...]:
        """Return the events with one of these symptoms that can be joined to the target's own processes or service."""
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
            and (
                (event.target is not None and event.target == self.target)
                or (event.unit != "" and event.unit in units)
                or (event.pid is not None and event.pid in pids)
                or (event.process != "" and any(_same_program(event.process, name) for name in names))
            )
        )

    def words(self, *symptoms: Symptom) -> tuple[Tally, ...]:
        """Return tallies of application, service and kernel logs (not of gateways) with one of these symptoms.

        Such lines carry no target. They are the target's own where only one backend fails, or where their program
        or unit is known to serve it.
        """
        failing = {
            t.target for t in (self.here.logs.tallies if self.here.logs else ()) if t.target is not None and t.proxy is not None
        }
        alone = len(failing) <= 1 and (self.target in failing or not failing)
        names = {p.name for p in self.processes} | {_program(s.argv) for s in self.services if s.argv}
        units = {s.name for s in self.services} | {p.unit for p in self.processes if p.unit}
        return tuple(
            tally
            for tally in self.anywhere(*symptoms)
            if tally.proxy is None
            and (tally.target is None or tally.target == self.target)
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
        places = {route.at for route in self.routes if route.at}
        return tuple(probe for probe in self.here.probes or () if probe.through_proxy and probe.route_at in places)

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
        logs = self.here.logs
        return self.offline and not any(t.proxy is not None and t.symptom not in NOTICES for t in (logs.tallies if logs else ()))

    # --- in time

    @cached_property
    def failures(self) -> tuple[Tally, ...]:
        """The tallies of gateways, without what is no failure by itself."""
        return tuple(tally for tally in self.tallies if tally.proxy is not None and tally.symptom not in NOTICES)

    @cached_property
    def first_failure(self) -> datetime | None:
        """When the target failed first in the window."""
        return min((t.first for t in self.failures if t.first), default=None)

    @cached_property
    def last_failure(self) -> datetime | None:
        """When the target failed last in the window."""
        return max((t.last for t in self.failures if t.last), default=None)


NOTICES = frozenset(
    {
        Symptom.PEER_DISABLED,
        Symptom.PROXY_RELOADED,
        Symptom.PROXY_STOPPED,
        Symptom.PROCESS_STARTED,
        Symptom.PROCESS_STOPPED,
        Symptom.LISTENS_ON,
        Symptom.CLIENT_BAD_REQUEST,
        Symptom.CLIENT_TIMED_OUT,
        Symptom.UPGRADED_TIMED_OUT,
        Symptom.HEALTH_CHECK_STATUS,
        Symptom.DENIED_BY_RULE,
        Symptom.SCRIPT_NOT_FOUND,
        Symptom.UPGRADE_REFUSED,
        Symptom.FIREWALL_DROPPED,
        Symptom.REQUEST_TOO_LARGE,
        Symptom.PHP_SLOW,
    }
)


def accepts(listening: Target, wanted: Target, only_v6: bool | None = None) -> bool:
    """Return whether a socket listening on one target takes connections to the other (ipv6(7): a `::` socket takes IPv4 too)."""
    if listening.is_unix or wanted.is_unix:
        return listening.path == wanted.path and listening.is_unix == wanted.is_unix
    if listening.port != wanted.port:
        return False
    if listening.host == wanted.host:
        return True
    if listening.host == "0.0.0.0":
        return ":" not in wanted.host
    if listening.host == "::":
        return ":" in wanted.host or not only_v6
    if wanted.host in ("0.0.0.0", "::"):  # connecting to the wildcard reaches loopback
        return listening.is_loopback
    return wanted.host == "localhost" and listening.is_loopback


def _program(argv: tuple[str, ...]) -> str:
    return argv[0].rsplit("/", 1)[-1] if argv else ""


def _same_program(one: str, other: str) -> bool:
    """Return whether two process names mean one program: the kernel cuts them at 15 bytes, versions are appended (php-fpm8.2)."""
    one, other = one.split(":")[0].strip(), other.split(":")[0].strip()
    if not one or not other:
        return False
    shorter, longer = sorted((one[:15], other[:15]), key=len)
    return longer.startswith(shorter) and (len(shorter) > 3 or len(longer) == len(shorter))


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
