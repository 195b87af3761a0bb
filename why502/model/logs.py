"""Observations from logs and probes, in one small vocabulary for all proxies."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from why502.model.base import Value
from why502.model.config import Position
from why502.model.target import Target

AGENT = "why502-probe"  # how our own requests call themselves in a log


class Phase(StrEnum):
    """How far a request (or the process) had come."""

    CONFIG = "config"
    STARTUP = "startup"
    PROCESS = "process"
    CLIENT = "client"  # talking to the client
    RESOLVE = "resolve"
    SELECT = "select"  # choosing a peer
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    READ_HEADER = "read-header"
    READ_BODY = "read-body"
    UPGRADED = "upgraded"


class Symptom(StrEnum):
    """What was seen, by a log line or a probe; never why."""

    # the way to the backend
    CONNECT_REFUSED = "connect-refused"  # ECONNREFUSED
    CONNECT_TIMED_OUT = "connect-timed-out"  # the proxy's own timer, or the kernel's
    CONNECT_RESET = "connect-reset"
    CONNECT_DENIED = "connect-denied"  # EACCES, EPERM
    HOST_UNREACHABLE = "host-unreachable"  # EHOSTUNREACH, ENETUNREACH
    SOCKET_PATH_MISSING = "socket-path-missing"  # ENOENT
    QUEUE_FULL = "queue-full"  # EAGAIN on a unix socket
    NO_LOCAL_PORT = "no-local-port"  # EADDRNOTAVAIL
    BIND_FAILED = "bind-failed"  # the proxy's own outgoing address
    SOCKET_DENIED = "socket-denied"  # socket() itself is forbidden
    CONNECT_FAILED = "connect-failed"  # any other reason
    NO_LIVE_UPSTREAMS = "no-live-upstreams"
    NO_MEMBERS = "no-members"
    PEER_DISABLED = "peer-disabled"
    PEER_LIMIT = "peer-limit"  # max_conns, maxconn, circuit breaker of connections
    CIRCUIT_OPEN = "circuit-open"
    # names
    NAME_NOT_FOUND = "name-not-found"
    NAME_SERVER_FAILED = "name-server-failed"
    NO_RESOLVER = "no-resolver"
    TARGET_INVALID = "target-invalid"
    # TLS to the backend
    TLS_FAILED = "tls-failed"
    TLS_NOT_TLS = "tls-not-tls"  # the peer does not speak TLS at all
    TLS_UNVERIFIED = "tls-unverified"
    TLS_TIMED_OUT = "tls-timed-out"
    TLS_CLIENT_CERTIFICATE = "tls-client-certificate"
    TLS_OWN_CERTIFICATE = "tls-own-certificate"
    # sending, reading
    SEND_TIMED_OUT = "send-timed-out"
    SEND_FAILED = "send-failed"  # EPIPE, ECONNRESET while sending
    READ_TIMED_OUT = "read-timed-out"  # before a whole header
    BODY_TIMED_OUT = "body-timed-out"
    UPGRADED_TIMED_OUT = "upgraded-timed-out"
    CLOSED_BEFORE_HEADER = "closed-before-header"
    RESET_BEFORE_HEADER = "reset-before-header"
    CLOSED_IN_BODY = "closed-in-body"
    RESET_IN_BODY = "reset-in-body"
    CONNECTION_DIED = "connection-died"  # ETIMEDOUT and the like on an established connection
    NO_STATUS_LINE = "no-status-line"  # 009
    HEADER_INVALID = "header-invalid"
    HEADER_TOO_BIG = "header-too-big"
    BODY_INVALID = "body-invalid"
    OTHER_PROTOCOL = "other-protocol"  # bytes of another protocol than expected
    STREAM_RESET = "stream-reset"  # HTTP/2
    TLS_REQUEST_EXPECTED = "tls-request-expected"  # the backend asks for https
    REQUEST_HEADER_TOO_BIG = "request-header-too-big"  # reported by the backend
    UPSTREAM_STATUS = "upstream-status"  # the backend answered 5xx itself
    GATEWAY_STATUS = "gateway-status"  # a 5xx in an access log of which nothing more is known
    APPLICATION_ERROR = "application-error"
    APPLICATION_SLOW = "application-slow"  # the application reports that a request took too long; the request continued
    SCRIPT_NOT_FOUND = "script-not-found"
    WRONG_HOST = "wrong-host"  # the backend reports that it does not know that host
    UPGRADE_REFUSED = "upgrade-refused"
    # the client's side
    CLIENT_CLOSED = "client-closed"
    CLIENT_TIMED_OUT = "client-timed-out"
    CLIENT_BAD_REQUEST = "client-bad-request"
    CLIENT_PROTOCOL = "client-protocol"
    REQUEST_TOO_LARGE = "request-too-large"
    # the proxy itself
    WORKER_CONNECTIONS = "worker-connections"
    FILES_EXHAUSTED = "files-exhausted"  # EMFILE, ENFILE
    MEMORY_EXHAUSTED = "memory-exhausted"  # ENOMEM, malloc failed
    TEMP_DENIED = "temp-denied"
    DISK_FULL = "disk-full"  # ENOSPC, EDQUOT
    IO_FAILED = "io-failed"  # EIO, EROFS
    TEMP_FILE_LIMIT = "temp-file-limit"
    SHARED_MEMORY = "shared-memory"
    CACHE_FULL = "cache-full"
    WORKSPACE = "workspace"
    RATE_LIMITED = "rate-limited"
    OWN_STATUS = "own-status"  # the proxy answered by a rule of its own (return 503, fixed response)
    DENIED_BY_RULE = "denied-by-rule"
    REWRITE_CYCLE = "rewrite-cycle"
    AUTH_FAILED = "auth-failed"
    CONFIG_INVALID = "config-invalid"
    LISTEN_FAILED = "listen-failed"
    PROXY_WORKER_DIED = "proxy-worker-died"
    PROXY_STOPPED = "proxy-stopped"
    PROXY_RELOADED = "proxy-reloaded"
    PROXY_START_FAILED = "proxy-start-failed"  # the proxy itself cannot start, for another reason than its configuration
    RELOAD_FAILED = "reload-failed"  # the order to reload did not reach the proxy
    PROXY_INTERNAL = "proxy-internal"  # the proxy ended the request for a reason inside of itself that has no symptom of its own
    ROUTE_MISSING = "route-missing"
    ROUTE_UNUSED = "route-unused"  # a route of the configuration that the gateway says it cannot use
    ROUTE_TARGET_MISSING = "route-target-missing"
    MODULE_MISSING = "module-missing"
    WORKER_SHARING = "worker-sharing"
    HEALTH_CHECK_FAILED = "health-check-failed"
    HEALTH_CHECK_STATUS = "health-check-status"
    STALE_ENDPOINT = "stale-endpoint"
    SECRET_MISMATCH = "secret-mismatch"
    TUNNEL_DOWN = "tunnel-down"
    FUNCTION_FAILED = "function-failed"
    CDN_SETTING = "cdn-setting"
    PROVIDER_FAULT = "provider-fault"
    PROXY_BUG = "proxy-bug"
    # the backend's own words
    PROCESS_CRASHED = "process-crashed"  # died by a signal, abort, uncaught exception
    PROCESS_EXITED = "process-exited"
    PROCESS_STARTED = "process-started"
    PROCESS_STOPPED = "process-stopped"  # in order
    PROCESS_RELOADED = "process-reloaded"  # its master replaces its workers, by order
    PROCESS_FINISHED = "process-finished"  # a request that the proxy had given up, completed later
    START_FAILED = "start-failed"
    ADDRESS_IN_USE = "address-in-use"
    RESTART_LOOP = "restart-loop"
    WORKER_TIMED_OUT = "worker-timed-out"
    WORKERS_BUSY = "workers-busy"
    PHP_MAX_CHILDREN = "php-max-children"
    PHP_CHILD_DIED = "php-child-died"
    PHP_SLOW = "php-slow"
    LISTENS_ON = "listens-on"  # the application reports its address
    # the machine
    OOM_KILLED = "oom-killed"
    MEMORY_SHORT = "memory-short"
    CPU_SHORT = "cpu-short"
    IO_SLOW = "io-slow"
    SELINUX_DENIED = "selinux-denied"
    APPARMOR_DENIED = "apparmor-denied"
    SANDBOX_DENIED = "sandbox-denied"
    CONNTRACK_FULL = "conntrack-full"
    PROTOCOL_TOLD = "protocol-told"  # an application names the protocol that it reads
    FIREWALL_DROPPED = "firewall-dropped"
    SYN_FLOOD = "syn-flood"


# Normal operation of servers: not a failure, whatever the level of the line.
ROUTINE = frozenset(
    {
        Symptom.PEER_DISABLED,
        Symptom.PROXY_RELOADED,
        Symptom.PROXY_STOPPED,
        Symptom.PROCESS_STARTED,
        Symptom.PROCESS_STOPPED,
        Symptom.PROCESS_RELOADED,
        Symptom.LISTENS_ON,
    }
)
# What a gateway notes and its clients do not feel as a failure of the backend; of these many are evidence for something else.
NOTICES = ROUTINE | {
    Symptom.CLIENT_BAD_REQUEST,
    Symptom.CLIENT_TIMED_OUT,
    Symptom.UPGRADED_TIMED_OUT,
    Symptom.HEALTH_CHECK_STATUS,
    Symptom.DENIED_BY_RULE,
    Symptom.SCRIPT_NOT_FOUND,
    Symptom.UPGRADE_REFUSED,
    Symptom.FIREWALL_DROPPED,
    Symptom.PROTOCOL_TOLD,
    Symptom.REQUEST_TOO_LARGE,
    Symptom.PHP_SLOW,
    Symptom.APPLICATION_SLOW,
    Symptom.ROUTE_UNUSED,
}


class Attempt(Value, frozen=True, kw_only=True):
    """One try of one target within a request, as in the access log. Times in seconds; None is `-`."""

    target: Target | None = None
    group: str = ""  # if the address field names a group instead (no live upstreams)
    status: int | None = None
    connect_s: float | None = None
    header_s: float | None = None
    response_s: float | None = None
    length_bytes: int | None = None


class LogRecord(Value, frozen=True, kw_only=True):
    """One line (or entry) of any log. `at` is naive if the line has no zone; text is unescaped raw text, cut at 2 KiB."""

    format: str = ""  # name of the format module that read it
    proxy: str | None = None  # product: nginx, apache, haproxy…; None for programs that are not gateways
    program: str = ""  # program that wrote it, if the line names it
    is_gateway_failure: bool = False
    is_final: bool = False  # the line records the end of the whole request, as an access log does
    is_repeat: bool = False  # the line repeats the failure of the line before it
    at: datetime | None = None
    level: str = ""
    pid: int | None = None
    connection: int | None = None
    thread: str = ""  # distinguishes concurrent requests: a thread's number, a client's port
    errno: int | None = None
    action: str = ""  # the proxy's action, in its own words: "connecting to upstream"
    phase: Phase | None = None
    symptom: Symptom | None = None
    causes: tuple[str, ...] = ()  # ids of causes for this exact line, best first, if the format's own table lists them
    code: str = ""  # the product's own code: AH01102, sH--, UF, 522
    message: str = ""
    detail: str = ""  # the part of the message with the reason: a TLS error, a host name, an exit code
    target: Target | None = None
    group: str = ""
    client: str = ""
    server: str = ""
    request: str = ""
    subrequest: str = ""
    host: str = ""
    referrer: str = ""
    upstream: str = ""  # as written
    protocol: str = ""  # of the upstream: http, https, fastcgi…
    status: int | None = None
    upstream_status: int | None = None
    duration_s: float | None = None
    # of the only attempt, in formats that have no others; each from the start of the connection on, as nginx counts
    connect_s: float | None = None
    header_s: float | None = None
    response_s: float | None = None
    bytes_sent: int | None = None
    attempts: tuple[Attempt, ...] = ()
    request_id: str = ""
    process: str = ""  # the process that the line speaks of (the victim of an OOM kill)
    process_pid: int | None = None
    unit: str = ""
    cgroup: str = ""  # of that process
    file: str = ""  # a file or path that the line speaks of
    line: int | None = None


class Sample(Value, frozen=True, kw_only=True):
    """One line as evidence: `source` is file:line or a command; `text` has its secrets removed."""

    source: str
    text: str


class Tally(Value, frozen=True, kw_only=True):
    """How often one symptom was seen on one target, route and status, and when. Merging two sums them."""

    symptom: Symptom
    proxy: str | None = "nginx"
    target: Target | None = None
    group: str = ""
    server: str = ""
    status: int | None = None  # the client's status; None if no access line was matched
    phase: Phase | None = None
    errno: int | None = None
    protocol: str = ""
    code: str = ""
    detail: str = ""
    process: str = ""
    process_pid: int | None = None
    unit: str = ""
    file: str = ""
    program: str = ""
    named: str = ""  # the cause that the lines name literally, if their format's table has one
    is_notice: bool = False  # a gateway logged them, and they are not failures by themselves
    count: int = 1
    hidden: int = 0  # of them, attempts that a retry on another peer made good
    first: datetime | None = None
    last: datetime | None = None
    duration_min_s: float | None = None
    duration_max_s: float | None = None
    bytes_min: int | None = None  # fewest bytes that a client got
    requests: tuple[tuple[str, int], ...] = ()  # most frequent "METHOD /path" (query removed), at most 8
    queried: tuple[str, ...] = ()  # of them, those that had a query
    samples: tuple[Sample, ...] = ()  # the first 3
    owner_uid: int = 0  # the user, other than root, whose gateway or file names the log: who can make it say anything

    @property
    def source(self) -> str:
        """Return the place of the first sample; "" if there is none."""
        return self.samples[0].source if self.samples else ""

    @property
    def is_failure(self) -> bool:
        """True for failures of the way to a backend."""
        return self.proxy is not None and self.symptom not in NOTICES and not self.is_notice and not self.is_passed_on

    @property
    def is_passed_on(self) -> bool:
        """True for 500s of the application's own: they pass like any other answer."""
        return self.symptom is Symptom.UPSTREAM_STATUS and self.status == 500


class TargetTraffic(Value, frozen=True, kw_only=True):
    """Access log totals of one target in the window: attempts, their results, their durations."""

    target: Target
    attempts: int = 0
    failures: int = 0
    last_success: datetime | None = None
    response_p95_s: float | None = None
    statuses: dict[str, int] = {}


class PathTraffic(Value, frozen=True, kw_only=True):
    """What clients were answered on one path.

    `request` is its method and path with `*` for numbers; "" sums paths that were never refused.
    """

    server: str = ""  # as named in the log; "" if it is not
    request: str = ""
    location: str = ""  # of the request's route, if known
    at: Position | None = None  # of the directive that passes it on
    statuses: dict[str, int] = {}
    clients: int = 0  # different clients that were refused, counted up to 8
    refused_since: int = 0  # requests refused after the last one that was served
    last_refused: datetime | None = None
    last_served: datetime | None = None

    @property
    def requests(self) -> int:
        """Return how many requests there were."""
        return sum(self.statuses.values())

    @property
    def completed(self) -> int:
        """Return how many of them the client waited for: all but those with 499."""
        return sum(count for status, count in self.statuses.items() if status != "499")

    @property
    def answered(self) -> int:
        """Return how many of them the backend answered with a status below 499."""
        return sum(count for status, count in self.statuses.items() if status < "499")


class LogFile(Value, frozen=True, kw_only=True):
    """One log that was read (or not): how much of it lay in the window, how many lines nobody could read."""

    path: str
    format: str = ""
    lines: int = 0
    unread: int = 0  # lines in the window that no format fits
    first: datetime | None = None
    last: datetime | None = None
    reason: str = ""  # why it could not be read, or ""
    is_deleted: bool = False  # the proxy writes to an unlinked file
    errors_of: int | None = None  # the process whose standard error it holds
    errors_from: str = ""  # of that process's error logs, only those that go to `stderr`, or to `syslog`; "": both


class LogSummary(Value, frozen=True, kw_only=True):
    """All logs of one machine in one window of time."""

    files: tuple[LogFile, ...] = ()
    tallies: tuple[Tally, ...] = ()
    targets: tuple[TargetTraffic, ...] = ()
    paths: tuple[PathTraffic, ...] = ()
    requests: int = 0
    by_status: dict[str, int] = {}
    has_access: bool = False  # at least one access log with lines was read
