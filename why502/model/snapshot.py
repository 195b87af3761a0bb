"""Snapshot: everything that a diagnosis reads about one machine at one moment.

`None` is unknown (a Gap says why), `()` is none. They never share a value.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from why502.model.base import Value
from why502.model.config import Answer, LogTarget, Position, Route, Server, Setting, Upstream
from why502.model.file_kind import FileKind
from why502.model.logs import LogSummary, Symptom
from why502.model.target import Target


class ConfigTest(StrEnum):
    """How the proxy's own binary judges the configuration on disk."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Lookup(StrEnum):
    """How a look-up of a name ended."""

    OK = "ok"
    NOT_FOUND = "not-found"
    NO_ADDRESS = "no-address"
    FAILED = "failed"
    TIMED_OUT = "timed-out"


class Gap(Value, frozen=True, kw_only=True):
    """Something that could not be looked at. `hint` tells what would let us look."""

    source: str
    reason: str
    hint: str = ""
    section: str = ""  # of the snapshot, where all of it is missing because its source took too long


class ConfigFile(Value, frozen=True, kw_only=True):
    """One configuration file, secrets removed from `text` only when a bundle is written."""

    path: str
    text: str = ""  # bytes decoded as latin-1 where they are no UTF-8, so that offsets stay bytes: see is_latin1
    is_latin1: bool = False
    modified_at: datetime | None = None
    owner_uid: int = 0  # the user, other than root, who can change it: what it names is looked at with that user's rights


class ConfigProblem(Value, frozen=True, kw_only=True):
    """What is wrong with a configuration, by its own test or by our reading. `message` holds the program's words."""

    message: str
    at: Position | None = None
    source: str = ""


class Limits(Value, frozen=True, kw_only=True):
    """Descriptor limits and use of one process."""

    files_open: int | None = None
    files_limit: int | None = None


class Process(Value, frozen=True, kw_only=True):
    """One process (proc(5)). `user` falls back to the number. `state` is the letter of /proc/PID/stat."""

    pid: int
    ppid: int = 0
    name: str = ""
    argv: tuple[str, ...] = ()
    exe: str = ""
    user: str = ""
    uid: int | None = None
    groups: tuple[int, ...] = ()
    state: str = ""
    cwd: str = ""
    root: str = ""  # "" where its root is ours
    started_at: datetime | None = None
    cgroup: str = ""
    unit: str = ""  # systemd unit, from the cgroup
    container: str = ""  # id, from the cgroup
    network: str = ""  # "" where its network namespace is ours, else its inode
    mounts: str = ""  # "" where its mount namespace is ours, else its inode
    limits: Limits | None = None
    children: int | None = None  # number of direct children
    private_tmp: str = ""  # where its /tmp really lies, when it has one of its own

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger stopped it (states T and t)."""
        return self.state in ("T", "t")

    @property
    def is_blocked(self) -> bool:
        """Whether it waits for a device and takes no signal (state D)."""
        return self.state == "D"

    @property
    def is_init(self) -> bool:
        """Whether it is the machine's init: every daemon's parent, which holds the sockets of services that it starts
        on demand.
        """
        return self.pid == 1 and self.name in ("systemd", "init")


class Proxy(Value, frozen=True, kw_only=True):
    """One proxy: its master process, or (pid None) a configuration on disk that nothing runs."""

    kind: str = "nginx"
    pid: int | None = None
    exe: str = ""
    version: str = ""
    build: tuple[str, ...] = ()  # configure arguments
    config: str = ""  # main configuration file
    prefix: str = ""
    options: tuple[str, ...] = ()  # it was started with: -c, -p, -e, -g and their values as given
    pid_file: str = ""
    root: str = ""  # "/proc/PID/root" where its mount namespace is another
    is_apart: bool = False  # its configuration files are others than those of the same path here: a container's
    network: str = ""  # inode of its network namespace where it is another
    user: str = ""  # of its workers
    workers: tuple[Process, ...] = ()
    unit: str = ""
    loaded_at: datetime | None = None  # last (re)load of the configuration that runs
    listens: tuple[Target, ...] = ()  # as configured
    worker_connections: int | None = None
    files: tuple[ConfigFile, ...] = ()
    changed_at: datetime | None = None  # newest modification of a configuration file
    test: ConfigTest = ConfigTest.UNKNOWN
    problems: tuple[ConfigProblem, ...] = ()
    routes: tuple[Route, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    servers: tuple[Server, ...] = ()
    answers: tuple[Answer, ...] = ()
    logs: tuple[LogTarget, ...] = ()
    why_stopped: str = ""  # the service manager's words where it does not run
    owner_uid: int = 0  # the user who runs it, or can change its main file where nothing runs
    unit_state: str = ""  # of the unit that would start it, where it does not run: failed, else enabled, disabled, masked…

    @property
    def is_running(self) -> bool:
        """True while a master process is there."""
        return self.pid is not None

    def supplier(self, at: Position | None) -> int:
        """Return the user who supplies what stands at a place of its configuration: its own,
        or of root's one who can write there.
        """
        if self.owner_uid or at is None or not any(file.owner_uid for file in self.files):
            return self.owner_uid
        return next((file.owner_uid for file in self.files if file.path == at.file), 0)


class Listener(Value, frozen=True, kw_only=True):
    """A listening socket. `queued` is the accept queue, `backlog` its limit, both in connections; None is unknown.

    `names` are further paths that lead to the same socket file, as routes and logs write them: links, other mounts.
    """

    target: Target
    pids: tuple[int, ...] = ()
    inode: int = 0
    queued: int | None = None
    backlog: int | None = None
    network: str = ""  # inode of its network namespace where it is another than ours
    only_v6: bool | None = None
    uid: int | None = None  # user that made the socket
    device: int | None = None  # of the file that a unix socket is bound to, and the lower 32 bits of its inode
    file_inode: int | None = None
    is_at_path: bool | None = None  # whether the path of a unix socket leads to it, as we or a proxy see it
    names: tuple[str, ...] = ()


class PathStep(Value, frozen=True, kw_only=True):
    """One component on the way to a socket. `passes` tells whether the worker's user may go through (or write, for the last)."""

    path: str
    kind: FileKind
    mode: str = ""  # "0755"
    owner: str = ""
    group: str = ""
    passes: bool | None = None


class SocketPath(Value, frozen=True, kw_only=True):
    """A unix socket that a route names, as the worker's user sees it, in the worker's own mount namespace."""

    path: str
    user: str = ""  # the worker's
    kind: FileKind = FileKind.UNSEEN
    steps: tuple[PathStep, ...] = ()
    is_reachable: bool | None = None  # may the user connect, by modes and ACLs
    blocked_at: str = ""  # first path that stops it
    modified_at: datetime | None = None
    seen_elsewhere: tuple[str, ...] = ()  # the same name below a PrivateTmp or another root


class Resolution(Value, frozen=True, kw_only=True):
    """What a name means to the proxy now. `source` is what was asked: a name server, `/etc/hosts`, `system`."""

    name: str
    source: str = "system"
    addresses: tuple[str, ...] = ()
    ttl_s: float | None = None
    outcome: Lookup = Lookup.OK
    detail: str = ""
    is_resolver: bool = False  # asked through the proxy's own `resolver`
    servers: tuple[str, ...] = ()  # the machine's own name servers that know it, where the proxy could not resolve it


CONNECT = "connect"  # Probe.request where nothing was sent
_ASKED = frozenset({"http", "https", "fastcgi", "uwsgi", "scgi", "grpc", "grpcs"})  # the others say nothing without a client


class Probe(Value, frozen=True, kw_only=True):
    """One request of ours to a target, the way the proxy sends it. `symptom` None: it was answered properly.

    Times are seconds since the probe's begin; None is: not reached.
    """

    target: Target
    protocol: str = "http"
    through_proxy: bool = False
    url: str = ""  # for through_proxy: the proxy's own address and Host
    host: str = ""  # Host header sent
    request: str = ""  # "HEAD /path"
    repeats: bool = False  # it repeats a request that failed by the logs; else its success says little of theirs
    symptom: Symptom | None = None
    errno: int | None = None
    status: int | None = None
    detail: str = ""
    header_bytes: int | None = None
    first_bytes: str = ""  # what came first, escaped, at most 64 bytes
    speaks: str = ""  # what the peer seems to speak, where known: http, tls, fastcgi, uwsgi, h2, ssh…
    first_byte_s: float | None = None
    total_s: float | None = None
    certificate: str = ""  # why a certificate does not verify
    verifies_with: tuple[tuple[str, str], ...] = ()  # settings with which it would, without their module's name: ssl_name, …
    at: datetime | None = None
    route_at: Position | None = None

    @property
    def is_answer(self) -> bool:
        """True where the target answered; a connection alone is no answer of an application that could be asked for more."""
        return self.symptom is None and (self.request != CONNECT or self.protocol not in _ASKED)


class Event(Value, frozen=True, kw_only=True):
    """Something that happened on the machine, from a journal, kernel log or application log."""

    at: datetime | None = None
    symptom: Symptom
    message: str
    source: str
    pid: int | None = None
    process: str = ""
    unit: str = ""
    cgroup: str = ""
    target: Target | None = None
    path: str = ""
    detail: str = ""
    code: int | None = None  # exit status or signal
    count: int = 1
    last: datetime | None = None  # when it happened last, where more than once

    @property
    def ended_at(self) -> datetime | None:
        """When it happened last."""
        return self.last or self.at


class Service(Value, frozen=True, kw_only=True):
    """What a service manager says of a service."""

    manager: str  # systemd, supervisord, pm2, docker, podman
    name: str
    state: str = ""  # the manager's word: active, failed, FATAL, online, exited…
    substate: str = ""
    is_running: bool | None = None
    result: str = ""
    exit_code: int | None = None
    signal: int | None = None
    exit_message: str = ""  # decoded: "203/EXEC: the program could not be executed"
    restarts: int | None = None
    main_pid: int | None = None
    changed_at: datetime | None = None  # last state change
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    argv: tuple[str, ...] = ()
    unit_file: str = ""
    settings: dict[str, str] = {}  # Restart, MemoryMax, OOMPolicy, PrivateTmp, TimeoutStopSec…
    oom_killed: bool = False
    start_argv: tuple[str, ...] = ()  # the command that starts it
    logs: tuple[str, ...] = ()  # log files it names
    reason: tuple[str, ...] = ()  # its last words about a failure
    targets: tuple[Target, ...] = ()  # the targets it is believed to serve
    link: str = ""  # how we know: "listens on it", "its command names port 3000", "its directory is …"
    owner_uid: int = 0  # the user who runs its manager, or can change what the manager knows
    manager_unit: str = ""  # the systemd unit that its manager runs in


class PhpPool(Value, frozen=True, kw_only=True):
    """One PHP-FPM pool."""

    name: str
    file: str = ""
    target: Target | None = None
    listen_at: Position | None = None
    owner: str = ""
    group: str = ""
    mode: str = ""
    acl_users: str = ""
    pm: str = ""
    max_children: int | None = None
    settings: dict[str, str] = {}
    master_pid: int | None = None
    children: int | None = None
    children_busy: int | None = None  # those that hold a connection
    child_rss_bytes: int | None = None  # mean of the children
    status: dict[str, str] = {}  # the pool's own status page, where it answered
    log: str = ""
    slowlog: str = ""
    unit: str = ""
    root: str = ""  # "/proc/PID/root" where its master has another mount namespace; `file` and `listen` are as seen there
    network: str = ""  # inode of its network namespace where it is another
    written: dict[str, Setting] = {}  # its settings as they stand in the file, with the place of each value
    ends_at: Position | None = None  # where a further setting of the pool can be written
    child_pss_bytes: int | None = None  # mean of the children, shared pages counted in parts
    queued: int | None = None  # connections that wait to be accepted
    answers_ping: bool | None = None  # None: not asked
    owner_uid: int = 0  # the user who runs its master, or can change its file


class Pressure(Value, frozen=True, kw_only=True):
    """How short the machine, or the cgroup of the backend, is. Shares are 0…1 over the last 10 to 60 s; sizes in bytes."""

    scope: str = "machine"  # machine, or a cgroup path
    cpu_some: float | None = None
    memory_some: float | None = None
    io_some: float | None = None
    cpus: int | None = None
    running: int | None = None
    steal: float | None = None
    throttled: float | None = None  # share of the cgroup's periods that were throttled
    memory_available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_busy: float | None = None  # share of processor time that was not idle during a short look
    cpu_quota: float | None = None  # processors that the cgroup may use; None: no quota
    throttled_now: float | None = None  # `throttled`, of the periods during a short look
    memory_limit_hits: int | None = None  # times that the cgroup ran into its memory limit, since it was made
    swapped_bytes_s: float | None = None  # swapped in and out per second during a short look
    disk: str = ""  # the busiest disk during a short look
    disk_busy: float | None = None  # and the share of the time that it worked

    @property
    def whose(self) -> str:
        """Whose tasks are meant, in a sentence."""
        return "the machine" if self.scope == "machine" else f"cgroup {self.scope}"


class Disk(Value, frozen=True, kw_only=True):
    """A file system that the proxy or backend writes to."""

    path: str
    free_bytes: int
    total_bytes: int
    free_inodes: int | None = None
    total_inodes: int | None = None
    is_read_only: bool = False


class NetworkPath(Value, frozen=True, kw_only=True):
    """How this machine would send to an address (ip-route(8), ip-neighbour(8))."""

    address: str
    route: str = "unicast"  # unicast, local, unreachable, prohibit, blackhole; none: no route at all
    device: str = ""
    gateway: str = ""
    neighbour: str = ""  # state of the next hop: REACHABLE, STALE, FAILED, INCOMPLETE…; "" where unknown

    @property
    def words(self) -> str:
        """Return what is wrong with the way there."""
        if self.route == "none":
            return f"this machine has no route to {self.address}"
        if self.route != "unicast":
            return f"this machine's route to {self.address} is of type {self.route}"
        return f"the next hop {self.gateway or self.address} on {self.device} does not answer ARP ({self.neighbour})"


N = TypeVar("N", int, float)


class Kernel(Value, frozen=True, kw_only=True):
    """Counters and limits of the network stack of the proxy's namespace."""

    listen_overflows: int | None = None
    conntrack_count: int | None = None
    conntrack_max: int | None = None
    ports_first: int | None = None
    ports_last: int | None = None
    ports_used: dict[str, int] = {}  # by target: local ports in use towards it (any state)
    files_open: int | None = None
    files_max: int | None = None
    connections: dict[str, int] = {}  # by "target state" (CLOSE_WAIT…, of unix sockets also QUEUED): sockets towards a target
    security_modules: tuple[str, ...] | None = None  # active ones: /sys/kernel/security/lsm
    accepted: dict[str, int] = {}  # by target: connections that a process of the backend holds
    unaccepted: dict[str, int] = {}  # by target: established connections that wait for the backend to accept them
    abandoned: dict[str, int] = {}  # by target: connections closed by the proxy that the backend still holds, or never accepted
    worked_off: dict[str, int] = {}  # by target: how many of the abandoned it closed while we looked; only where we did
    backend_cpu: dict[str, float] = {}  # by target: processors that its processes used during a short look
    backend_blocked: dict[str, int] = {}  # by target: threads of its processes that wait for a device (state D)
    listen_overflows_now: int | None = None  # by how much the counter rose during a short look

    @staticmethod
    def of(target: Target | None, counts: dict[str, N], state: str = "") -> N | None:
        """Return what one of the dictionaries above counts for a target; None where it was not counted."""
        return counts.get(Kernel.name(target, state))

    @staticmethod
    def name(target: Target | None, state: str = "") -> str:
        """Return the key of a target in the dictionaries above: keys of JSON are text."""
        return f"{target} {state}" if state else str(target)

    @staticmethod
    def by_name(counts: dict[Target, N]) -> dict[str, N]:
        """Return counts by the names of their targets."""
        return {Kernel.name(target): count for target, count in counts.items()}


class Dependency(Value, frozen=True, kw_only=True):
    """One address that the processes behind a target are connected to, or say that they need.

    `connecting` and `waiting` count the backend's threads: that wait for the connection, or for an answer while they hold a
    request of the proxy's; `busy` are all that hold such a request. `unacknowledged` counts connections on which the other end
    does not even acknowledge what was sent.
    """

    target: Target
    peer: Target
    connecting: int = 0
    waiting: int = 0
    unacknowledged: int = 0
    busy: int = 0
    is_heard: bool | None = None  # something listens there; None: it lies elsewhere, or that is unknown
    pid: int | None = None  # of the process that listens there
    process: str = ""
    is_stopped: bool = False  # that process is stopped (state T)
    unit: str = ""
    unit_state: str = ""  # systemd's ActiveState
    unit_since: datetime | None = None  # since when it does not run
    named_by: str = ""  # the variable of the backend's that names it, where it is not connected to
    elsewhere: Target | None = None  # where the same port is listened on instead
    does: tuple[str, ...] = ()  # the titles of the processes at the other ends of the connections


class Snapshot(Value, frozen=True, kw_only=True):
    """One machine, one moment."""

    taken_at: datetime
    schema: int = 1
    host: str = ""
    since: datetime | None = None
    until: datetime | None = None
    asked: tuple[Target, ...] = ()  # addresses here that the proxy of another machine connects to
    proxies: tuple[Proxy, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
    processes: tuple[Process, ...] | None = None
    socket_paths: tuple[SocketPath, ...] | None = None
    names: tuple[Resolution, ...] | None = None
    services: tuple[Service, ...] | None = None
    php_pools: tuple[PhpPool, ...] | None = None
    events: tuple[Event, ...] | None = None
    pressure: tuple[Pressure, ...] | None = None
    disks: tuple[Disk, ...] | None = None
    kernel: Kernel | None = None
    paths: tuple[NetworkPath, ...] | None = None
    probes: tuple[Probe, ...] | None = None
    logs: LogSummary | None = None
    addresses: tuple[str, ...] | None = None  # this machine's own
    dependencies: tuple[Dependency, ...] | None = None
    gaps: tuple[Gap, ...] = ()


class LiveSnapshot(Snapshot, frozen=True, kw_only=True):
    """A snapshot of this machine, taken just now by this program.

    No file can claim to be one: bundles are decoded as `Snapshot`.
    """

    @classmethod
    def of(cls, snapshot: Snapshot) -> LiveSnapshot:
        """Return the snapshot as one of this machine."""
        return cls(**{name: getattr(snapshot, name) for name in snapshot.__struct_fields__})
