"""A proxy as it runs or is configured: its files, its own test of them, and what it says about its servers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from why502.model.base import Value
from why502.model.config import Answer, LogTarget, Position, Route, Server, Upstream
from why502.model.logs import Tally, TargetTraffic
from why502.model.network import Network
from why502.model.process import Process
from why502.model.target import Target


class ConfigTest(StrEnum):
    """Result of the proxy's own configuration test (`nginx -t`) for the files on disk."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ConfigFile(Value, frozen=True, kw_only=True):
    """One configuration file. Secrets are removed from `text` only when a bundle is written."""

    path: str
    text: str = ""  # decoded as latin-1 if it is not UTF-8, so that offsets stay bytes: see is_latin1
    is_latin1: bool = False
    modified_at: datetime | None = None
    owner_uid: int = 0  # the user, other than root, who can change it: paths named in it are opened with that user's rights
    is_live: bool = False  # read with each request (`.htaccess`): in force without a reload, and in no test of the configuration


class ConfigProblem(Value, frozen=True, kw_only=True):
    """An error in a configuration, found by the proxy's own test or by our parser. `message` holds the program's words."""

    message: str
    at: Position | None = None
    source: str = ""


class UnusedRoute(Value, frozen=True, kw_only=True):
    """A route that a gateway's configuration defines and that it does not use: requests for it get no route.

    `server_names` and `locations` are as in Route; () takes any, or what its rule takes is unknown. `source`: file:line, or what
    said so.
    """

    name: str
    server_names: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    reason: str = ""
    source: str = ""


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


FEW = 0.01  # share of all responses since the start up to which counted 5xx are no sign of a fault


class Answered(Value, frozen=True, kw_only=True):
    """How many responses the proxy counts at one of its servers or entrances since it was started, and how many were 5xx."""

    name: str  # "frontend web", "app/app1"
    responses: int
    errors: int
    since: datetime
    source: str = ""  # what said so: "show stat"


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
    worker_bytes: int | None = None  # mean memory of a worker that handles one request at a time, shared pages in proportion
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
    unused_routes: tuple[UnusedRoute, ...] = ()
    attaches_by_default: bool | None = None  # whether containers need no label to get a route; None: it looks at no containers
    peers: tuple[PeerView, ...] = ()  # its servers as its admin interface describes them
    not_in_files: tuple[Target, ...] = ()  # servers that its running configuration has, and no file names
    admin: str = ""  # the address of the admin interface that answered
    counted: tuple[Tally, ...] = ()  # the failed requests that it counts there
    answered: tuple[Answered, ...] = ()  # where it counts 5xx responses since it was started
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
