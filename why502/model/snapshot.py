"""Snapshot: everything that a diagnosis reads about one machine at one moment.

`None` means unknown (a Gap gives the reason), `()` means none. They never share a value.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from why502.model.base import Value
from why502.model.container import Container
from why502.model.file_kind import FileKind
from why502.model.firewall import FirewallRule
from why502.model.logs import LogSummary, Symptom
from why502.model.probe import Probe
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.service import PhpPool, Service
from why502.model.target import Target


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
    section: str = (
        ""  # section of the snapshot that is missing or incomplete because a source took too long; or the log that nobody read
    )


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
    unit: str = ""  # the one unit of a name server here that ran since boot and is stopped, if the source is here and fails
    unit_state: str = ""  # systemd's ActiveState of that unit; masked: stopped, and cannot be started


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


class Pressure(Value, frozen=True, kw_only=True):
    """Resource pressure of the machine or of the backend's cgroup. Shares are 0…1 over the last 10 to 60 s; sizes in bytes."""

    scope: str = "machine"  # machine, or a cgroup path
    cpu_some: float | None = None
    memory_some: float | None = None
    io_some: float | None = None
    io_now: float | None = None  # like `io_some`, during a short measurement
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
    """A file system that the proxy writes to, or another one of this machine without any space left."""

    path: str
    free_bytes: int
    total_bytes: int
    free_inodes: int | None = None
    total_inodes: int | None = None
    is_read_only: bool = False
    is_of_proxy: bool = True
    owner_uid: int | None = None  # of its top directory; of those that are not the proxy's


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
    # by target: the share of that measurement in which its processes had work to do and waited for a processor, added up
    backend_kept_waiting: dict[str, float] = {}
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
    unit_state: str = ""  # systemd's ActiveState; masked: stopped, and cannot be started
    unit_since: datetime | None = None  # time it stopped running
    named_by: str = ""  # the backend's variable that names it, if there is no connection to it
    elsewhere: Target | None = None  # address where the same port does have a listener
    does: tuple[str, ...] = ()  # process titles at the other ends of the connections
    shares: str = ""  # of a stopped unit of the same application, whose name is the peer: "has the same user (shop)"


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
    firewall: tuple[FirewallRule, ...] | None = None
    gaps: tuple[Gap, ...] = ()


class LiveSnapshot(Snapshot, frozen=True, kw_only=True):
    """A snapshot of this machine, taken just now by this program.

    A file cannot claim to be one: bundles are decoded as `Snapshot`.
    """

    @classmethod
    def of(cls, snapshot: Snapshot) -> LiveSnapshot:
        """Return the snapshot as one of this machine."""
        return cls(**{name: getattr(snapshot, name) for name in snapshot.__struct_fields__})
