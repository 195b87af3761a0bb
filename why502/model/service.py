"""A service of a service manager, and a pool of PHP-FPM."""

from __future__ import annotations

from datetime import datetime

from why502.model.base import Value
from why502.model.config import Position, Setting
from why502.model.target import Target

ENDED = ("inactive", "failed")  # systemd's ActiveState of a unit that does not run


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
    # seconds a worker may be busy, as the application server's configuration file sets it; no argument: not as a plain number
    worker_limit: Setting | None = None

    @property
    def never_ran(self) -> bool:
        """Return whether its manager knows of no run since boot, or has forgotten it. The address in its files may belong to
        another service.
        """
        return self.state == "inactive" and self.changed_at is None and self.settings.get("LoadState") != "masked"


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
