"""Snapshot: everything that a diagnosis reads about one machine at one moment.

`None` means unknown (a Gap gives the reason), `()` means none. They never share a value.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from why502.model.base import Value
from why502.model.config import Answer, LogTarget, Position, Route, Server, Setting, Upstream
from why502.model.container import Container
from why502.model.file_kind import FileKind
from why502.model.logs import LogSummary, Symptom, Tally, TargetTraffic
from why502.model.network import Network
from why502.model.target import Target


class ConfigTest(StrEnum):
    """Result of the proxy's own configuration test (`nginx -t`) for the files on disk."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Lookup(StrEnum):
    """Result of a name lookup."""

    OK = "ok"
    NOT_FOUND = "not-found"
    NO_ADDRESS = "no-address"
    FAILED = "failed"
    TIMED_OUT = "timed-out"


class Gap(Value, frozen=True, kw_only=True):
    """Something that could not be examined. `hint` names the access needed."""

    source: str
    reason: str
    hint: str = ""
    section: str = ""  # section of the snapshot that is missing entirely because its source took too long


class ConfigFile(Value, frozen=True, kw_only=True):
    """One configuration file. Secrets are removed from `text` only when a bundle is written."""

    path: str
    text: str = ""  # decoded as latin-1 if it is not UTF-8, so that offsets stay bytes: see is_latin1
    is_latin1: bool = False
    modified_at: datetime | None = None
    owner_uid: int = 0  # the user, other than root, who can change it: paths named in it are opened with that user's rights


class ConfigProblem(Value, frozen=True, kw_only=True):
    """An error in a configuration, found by the proxy's own test or by our parser. `message` holds the program's words."""

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
    root: str = ""  # "" if its root directory is ours
    started_at: datetime | None = None
    cgroup: str = ""
    unit: str = ""  # systemd unit, from the cgroup
    container: str = ""  # id, from the cgroup
    container_name: str = ""  # with the first digits of the id: "shop-app (3f9a…)"; as its engine's files name it
    network: str = ""  # "" if its network namespace is ours, else its inode
    mounts: str = ""  # "" if its mount namespace is ours, else its inode
    limits: Limits | None = None
    children: int | None = None  # number of direct children
    private_tmp: str = ""  # real location of its /tmp, if it has a private one

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger stopped it (states T and t)."""
        return self.state in ("T", "t")

    @property
    def is_blocked(self) -> bool:
        """Whether it waits for a device and ignores signals (state D)."""
        return self.state == "D"

    @property
    def is_init(self) -> bool:
        """Whether it is the machine's init, the parent of every daemon. It holds the sockets of services started on demand."""
        return self.pid == 1 and self.name in ("systemd", "init")


class PeerState(StrEnum):
    """What a proxy itself says about one of its servers."""

    UP = "up"
    DOWN = "down"  # its checks fail
    EJECTED = "ejected"  # requests of clients failed there, so it is left out for a while
    MAINTENANCE = "maintenance"  # somebody took it out
    DRAINING = "draining"  # it gets no new clients
    UNCHECKED = "unchecked"  # nothing checks it: most products then call it up
    UNKNOWN = "unknown"


class PeerView(Value, frozen=True, kw_only=True):
    """One server as the proxy's admin interface describes it. None: the interface does not tell."""

    group: str = ""
    name: str = ""  # the proxy's own name for it
    target: Target | None = None
    state: PeerState = PeerState.UNKNOWN
    check: str = ""  # the product's own code or words: "L4CON", "failed_active_health_check"
    reason: str = ""  # why the check fails, in plain words, as far as the interface tells
    failures: int | None = None  # failed requests or connections that the proxy counts at present
    active: int | None = None  # requests or connections that it has there now
    queued: int | None = None  # requests that wait for a connection to it
    limit: int | None = None  # how many of them it may have at a time
    rejected: str | None = None  # what the proxy found wrong with the last answer of it that it could not read; "": it read all
    source: str = ""  # what said so: "/reverse_proxy/upstreams", "show stat"


class Proxy(Value, frozen=True, kw_only=True):
    """One proxy: its master process, or (pid None) a configuration on disk without a running process."""

    kind: str = "nginx"
    pid: int | None = None
    exe: str = ""
    version: str = ""
    build: tuple[str, ...] = ()  # configure arguments
    config: str = ""  # main configuration file
    prefix: str = ""
    options: tuple[str, ...] = ()  # its command-line options: -c, -p, -e, -g and their values as given
    pid_file: str = ""
    root: str = ""  # "/proc/PID/root" if it has another mount namespace
    is_apart: bool = False  # its configuration files differ from those at the same paths here: it runs in a container
    network: str = ""  # inode of its network namespace if it is not ours
    user: str = ""  # user of its workers
    workers: tuple[Process, ...] = ()
    unit: str = ""
    loaded_at: datetime | None = None  # last (re)load of the running configuration
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
    why_stopped: str = ""  # the service manager's reason why it does not run
    owner_uid: int = 0  # the user who runs it, or who can change its main file if nothing runs
    unit_state: str = ""  # state of the unit that would start it, if it does not run: failed, else enabled, disabled, masked…
    routes_elsewhere: bool = False  # further routes may come from another source than its files: Docker, a discovery service
    peers: tuple[PeerView, ...] = ()  # its servers as its admin interface describes them
    not_in_files: tuple[Target, ...] = ()  # servers that its running configuration has, and no file names
    admin: str = ""  # the address of the admin interface that answered
    counted: tuple[Tally, ...] = ()  # the failed requests that it counts there
    unanswered: tuple[TargetTraffic, ...] = ()  # the servers to which it sent requests, and that answered none of them

    @property
    def is_running(self) -> bool:
        """True if there is a master process."""
        return self.pid is not None

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of its master process and of its workers."""
        return tuple(pid for pid in (self.pid, *(worker.pid for worker in self.workers)) if pid)

    @property
    def away(self) -> Network | None:
        """Its network namespace; None if that is ours."""
        return Network(pid=self.pid or 0, inode=self.network) if self.network else None

    def supplier(self, at: Position | None) -> int:
        """Return the user who controls the text at a place of its configuration: the owner of the proxy, or for root's proxy
        the user
        who can write the file.
        """
        if self.owner_uid or at is None or not any(file.owner_uid for file in self.files):
            return self.owner_uid
        return next((file.owner_uid for file in self.files if file.path == at.file), 0)


class Listener(Value, frozen=True, kw_only=True):
    """A listening socket. `queued` is the accept queue, `backlog` its limit, both in connections; None is unknown.

    `names` are other paths of the same socket file as routes and logs write them: links, other mounts.
    """

    target: Target
    pids: tuple[int, ...] = ()
    inode: int = 0
    queued: int | None = None
    backlog: int | None = None
    network: str = ""  # inode of its network namespace if it is not ours
    only_v6: bool | None = None
    uid: int | None = None  # user who created the socket
    device: int | None = None  # of the file that a unix socket is bound to, and the lower 32 bits of its inode
    file_inode: int | None = None
    is_at_path: bool | None = None  # whether the path of a unix socket leads to it, seen from our or a proxy's mount namespace
    names: tuple[str, ...] = ()


class PublishedPort(Value, frozen=True, kw_only=True):
    """A port that a container engine forwards into a container: from `outer` on this machine to `inner`."""

    outer: Target
    inner: Target
    source: str = ""  # what says so


class NetworkSpace(Value, frozen=True, kw_only=True):
    """A network namespace that is not ours: usually that of a container or a pod.

    `name` is the container's, with the first digits of its id, or that of a process in it. `owner_uid`: the user who could choose
    its addresses; 0 if only root could.
    """

    inode: str
    pid: int  # a process in it
    name: str = ""
    container: str = ""  # id, from the cgroup
    addresses: tuple[str, ...] = ()
    subnets: dict[str, str] = {}  # by IPv4 address: the network that it is directly connected to with it
    published: tuple[PublishedPort, ...] = ()
    owner_uid: int = 0


class PathStep(Value, frozen=True, kw_only=True):
    """One component of the path to a socket. `passes`: whether the worker's user may traverse it (or write to it, for the
    last).
    """

    path: str
    kind: FileKind
    mode: str = ""  # "0755"
    owner: str = ""
    group: str = ""
    passes: bool | None = None


class SocketPath(Value, frozen=True, kw_only=True):
    """A unix socket named by a route, seen by the worker's user in the worker's own mount namespace."""

    path: str
    user: str = ""  # the worker's user
    kind: FileKind = FileKind.UNSEEN
    steps: tuple[PathStep, ...] = ()
    is_reachable: bool | None = None  # whether modes and ACLs let the user connect
    blocked_at: str = ""  # first path that denies access
    modified_at: datetime | None = None
    seen_elsewhere: tuple[str, ...] = ()  # the same name below a PrivateTmp or another root


class Resolution(Value, frozen=True, kw_only=True):
    """What a name resolves to for the proxy now. `source` is what was queried: a name server, `/etc/hosts`, `system`."""

    name: str
    source: str = "system"
    addresses: tuple[str, ...] = ()
    ttl_s: float | None = None
    outcome: Lookup = Lookup.OK
    detail: str = ""
    is_resolver: bool = False  # queried through the proxy's own `resolver`
    network: str = ""  # inode of the network namespace where it was queried, if it is not ours
    servers: tuple[str, ...] = ()  # the machine's own name servers that resolve it, if the proxy could not


SERVER_ERROR = 500  # statuses from here on: the server says that it failed
CONNECT = "connect"  # value of Probe.request if nothing was sent
_ASKED = frozenset(
    {"http", "https", "fastcgi", "uwsgi", "scgi", "grpc", "grpcs"}
)  # in other protocols the server sends nothing until the client does


class Probe(Value, frozen=True, kw_only=True):
    """One request of ours to a target, sent the way the proxy sends it. `symptom` None: the response was fine.

    Times are seconds since the start of the probe; None means not reached.
    """

    target: Target
    protocol: str = "http"
    through_proxy: bool = False
    url: str = ""  # for through_proxy: the proxy's own address and Host
    host: str = ""  # Host header sent
    request: str = ""  # "HEAD /path"
    repeats: bool = False  # it repeats a request that failed in the logs; otherwise its success says little about theirs
    symptom: Symptom | None = None
    errno: int | None = None
    status: int | None = None
    detail: str = ""
    header_bytes: int | None = None
    first_bytes: str = ""  # the first bytes received, escaped, at most 64 bytes
    speaks: str = ""  # the protocol the peer seems to use, if known: http, tls, fastcgi, uwsgi, h2, ssh…
    first_byte_s: float | None = None
    total_s: float | None = None
    certificate: str = ""  # reason why a certificate does not verify
    # settings that would make it verify, without the module's prefix: ssl_name, …
    verifies_with: tuple[tuple[str, str], ...] = ()
    at: datetime | None = None
    route_at: Position | None = None
    network: str = ""  # inode of the network namespace that it was sent from, if it is not ours

    @property
    def is_answer(self) -> bool:
        """True if the target answered. A connection alone is not an answer if the application could have been sent a request."""
        return self.symptom is None and (self.request != CONNECT or self.protocol not in _ASKED)

    @property
    def has_recovered(self) -> bool:
        """True if the target answered, and not with an error of its own: its proxy has no reason to leave it out."""
        return self.is_answer and (self.status or 0) < SERVER_ERROR


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
    last: datetime | None = None  # last occurrence, if more than one

    @property
    def ended_at(self) -> datetime | None:
        """Time of the last occurrence."""
        return self.last or self.at


class Service(Value, frozen=True, kw_only=True):
    """A service as its service manager reports it."""

    manager: str  # systemd, supervisord, pm2, docker, podman
    name: str
    state: str = ""  # state in the manager's terms: active, failed, FATAL, online, exited…
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
    logs: tuple[str, ...] = ()  # its log files
    reason: tuple[str, ...] = ()  # its last log lines about a failure
    targets: tuple[Target, ...] = ()  # the targets it probably serves
    link: str = ""  # evidence for that: "listens on it", "its command names port 3000", "its directory is …"
    owner_uid: int = 0  # the user who runs its manager, or can change the manager's data
    manager_unit: str = ""  # the systemd unit of its manager


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
    children_busy: int | None = None  # children that hold a connection
    child_rss_bytes: int | None = None  # mean over the children
    status: dict[str, str] = {}  # the pool's own status page, if it answered
    log: str = ""
    slowlog: str = ""
    unit: str = ""
    root: str = ""  # "/proc/PID/root" if its master has another mount namespace; `file` and `listen` are as seen there
    network: str = ""  # inode of its network namespace if it is not ours
    written: dict[str, Setting] = {}  # its settings as written in the file, with the position of each value
    ends_at: Position | None = None  # position where a new setting of the pool can be added
    child_pss_bytes: int | None = None  # mean over the children, shared pages counted proportionally
    queued: int | None = None  # connections waiting to be accepted
    answers_ping: bool | None = None  # None: not tried
    owner_uid: int = 0  # the user who runs its master, or can change its file


class Pressure(Value, frozen=True, kw_only=True):
    """Resource pressure of the machine or of the backend's cgroup. Shares are 0…1 over the last 10 to 60 s; sizes in bytes."""

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
    cpu_busy: float | None = None  # share of processor time that was not idle during a short measurement
    cpu_quota: float | None = None  # processors that the cgroup may use; None: no quota
    throttled_now: float | None = None  # like `throttled`, for the periods of a short measurement
    memory_limit_hits: int | None = None  # how often the cgroup hit its memory limit, since it was created
    swapped_bytes_s: float | None = None  # bytes swapped in and out per second during a short measurement
    disk: str = ""  # the busiest disk during a short measurement
    disk_busy: float | None = None  # share of the time that disk was busy

    @property
    def whose(self) -> str:
        """The owner of the tasks, as part of a sentence."""
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
        """Return the problem with the route, in words."""
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
    ports_used: dict[str, int] = {}  # by target: local ports in use for it (any state)
    files_open: int | None = None
    files_max: int | None = None
    # by "target state" (CLOSE_WAIT…; for unix sockets also QUEUED): number of sockets connected to a target
    connections: dict[str, int] = {}
    security_modules: tuple[str, ...] | None = None  # active ones: /sys/kernel/security/lsm
    accepted: dict[str, int] = {}  # by target: connections held by a process of the backend
    unaccepted: dict[str, int] = {}  # by target: established connections that the backend has not accepted yet
    abandoned: dict[str, int] = {}  # by target: connections closed by the proxy that the backend still holds, or never accepted
    # by target: how many of the abandoned ones the backend closed during the measurement; only if measured
    worked_off: dict[str, int] = {}
    backend_cpu: dict[str, float] = {}  # by target: processors that its processes used during a short measurement
    backend_blocked: dict[str, int] = {}  # by target: threads of its processes blocked on a device (state D)
    listen_overflows_now: int | None = None  # increase of the counter during a short measurement

    @staticmethod
    def of(target: Target | None, counts: dict[str, N], state: str = "") -> N | None:
        """Return the count of a target from one of the dictionaries above; None if it was not counted."""
        return counts.get(Kernel.name(target, state))

    @staticmethod
    def name(target: Target | None, state: str = "") -> str:
        """Return the key of a target in the dictionaries above, as text because JSON keys are text."""
        return f"{target} {state}" if state else str(target)

    @staticmethod
    def by_name(counts: dict[Target, N]) -> dict[str, N]:
        """Return counts by the names of their targets."""
        return {Kernel.name(target): count for target, count in counts.items()}


class Dependency(Value, frozen=True, kw_only=True):
    """An address that the processes behind a target are connected to, or that their configuration names.

    `connecting` and `waiting` count the backend's threads that wait for the connection, or wait for an answer while they handle
    a request from the proxy. `busy` counts all threads that handle such a request. `unacknowledged` counts connections whose
    other
    end does not even acknowledge the data sent.
    """

    target: Target
    peer: Target
    connecting: int = 0
    waiting: int = 0
    unacknowledged: int = 0
    busy: int = 0
    is_heard: bool | None = None  # whether something listens there; None: on another machine, or unknown
    pid: int | None = None  # of the process that listens there
    process: str = ""
    is_stopped: bool = False  # that process is stopped (state T)
    unit: str = ""
    unit_state: str = ""  # systemd's ActiveState
    unit_since: datetime | None = None  # time it stopped running
    named_by: str = ""  # the backend's variable that names it, if there is no connection to it
    elsewhere: Target | None = None  # address where the same port does have a listener
    does: tuple[str, ...] = ()  # process titles at the other ends of the connections


class Snapshot(Value, frozen=True, kw_only=True):
    """One machine, one moment."""

    taken_at: datetime
    schema: int = 1
    host: str = ""
    since: datetime | None = None
    until: datetime | None = None
    asked: tuple[Target, ...] = ()  # local addresses that the proxy on another machine connects to
    proxies: tuple[Proxy, ...] | None = None
    listeners: tuple[Listener, ...] | None = None
    processes: tuple[Process, ...] | None = None
    socket_paths: tuple[SocketPath, ...] | None = None
    names: tuple[Resolution, ...] | None = None
    containers: tuple[Container, ...] | None = None
    services: tuple[Service, ...] | None = None
    php_pools: tuple[PhpPool, ...] | None = None
    events: tuple[Event, ...] | None = None
    pressure: tuple[Pressure, ...] | None = None
    disks: tuple[Disk, ...] | None = None
    kernel: Kernel | None = None
    paths: tuple[NetworkPath, ...] | None = None
    probes: tuple[Probe, ...] | None = None
    logs: LogSummary | None = None
    addresses: tuple[str, ...] | None = None  # addresses of this machine
    networks: tuple[NetworkSpace, ...] | None = None  # its other network namespaces
    dependencies: tuple[Dependency, ...] | None = None
    gaps: tuple[Gap, ...] = ()


class LiveSnapshot(Snapshot, frozen=True, kw_only=True):
    """A snapshot of this machine, taken just now by this program.

    A file cannot claim to be one: bundles are decoded as `Snapshot`.
    """

    @classmethod
    def of(cls, snapshot: Snapshot) -> LiveSnapshot:
        """Return the snapshot as one of this machine."""
        return cls(**{name: getattr(snapshot, name) for name in snapshot.__struct_fields__})
