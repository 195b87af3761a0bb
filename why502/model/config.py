"""The configuration of a proxy, in terms common to all proxies."""

from __future__ import annotations

from enum import StrEnum

from why502.model.base import Value
from why502.model.target import Target

SENDS_PROXY = "send-proxy"  # route setting: version of the PROXY protocol header sent to the servers: v1, v2, "" if they differ
SOURCE = "source"  # route setting: the proxy connects from this address: "192.0.2.1", with or without a port
PROTOCOL = "proto"  # route setting: protocol used without negotiation: h2
LIMITED = 503  # default status of rejections by limit_req and limit_conn


class LogKind(StrEnum):
    """The purpose of a log."""

    ACCESS = "access"
    ERROR = "error"


class LogPlace(StrEnum):
    """The destination of a log."""

    FILE = "file"
    SYSLOG = "syslog"
    STDERR = "stderr"
    MEMORY = "memory"  # Varnish's shared memory log
    VARIABLE = "variable"  # a path with variables
    OFF = "off"


class Escape(StrEnum):
    """The `escape` parameter of an nginx log_format."""

    DEFAULT = "default"
    JSON = "json"
    NONE = "none"


class Position(Value, frozen=True, kw_only=True):
    """A place in a file. `line` and `column` count from 1; `start` and `end` are byte offsets."""

    file: str
    line: int
    column: int = 1
    start: int = 0
    end: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Setting(Value, frozen=True, kw_only=True):
    """One directive in force. `at` is None for a built-in default."""

    args: tuple[str, ...]
    at: Position | None = None


class Peer(Value, frozen=True, kw_only=True):
    """A member of a group as configured, or the only peer of a route that names its address directly.

    `name` is as written (`127.0.0.1:3001`, `app:80`, `unix:/run/app.sock`). `target` holds the host name until it is
    resolved; it is None if the name contains a variable.
    """

    name: str
    label: str = ""  # the proxy's own name for it, if that is not its address (HAProxy)
    target: Target | None = None
    at: Position | None = None
    is_backup: bool = False
    is_down: bool = False
    max_fails: int = 1
    fail_timeout_s: float = 10.0
    max_conns: int = 0
    resolves: bool = False
    protocol: str = ""  # if it differs from the route's
    network: str = ""  # inode of its proxy's network namespace if that is not ours
    check: str = ""  # what its health checks ask for, as far as the configuration names it: "GET /up"
    checked_at: Target | None = None  # where its health checks connect, if that is another address


class Upstream(Value, frozen=True, kw_only=True):
    """A named group of peers. `keepalive` is the number of idle connections kept per worker; 0 is none."""

    name: str
    peers: tuple[Peer, ...] = ()
    at: Position | None = None
    method: str = "round-robin"
    keepalive: int = 0
    keepalive_timeout_s: float = 60.0
    keepalive_at: Position | None = None
    zone: str = ""


class Route(Value, frozen=True, kw_only=True):
    """A rule that leads to a backend, with the settings in force there. Times are seconds, sizes bytes; defaults are
    filled in.
    """

    proxy: str = "nginx"
    server: str = ""
    server_names: tuple[str, ...] = ()
    listens: tuple[str, ...] = ()  # as written: "80", "127.0.0.1:8080 ssl"
    listens_tls: bool = False
    location: str = ""  # "/api/", "= /x", "^~ /x", "~ \.php$", "@name"; "" if the server block itself passes
    location_at: Position | None = None
    location_path: tuple[str, ...] = ()  # the enclosing locations, outermost first; its own is the last
    server_at: Position | None = None
    at: Position | None = None  # position of the directive that passes
    directive: str = "proxy_pass"
    passes: str = ""  # its argument as written
    protocol: str = "http"  # http https fastcgi uwsgi scgi grpc grpcs memcached tunnel tcp
    uri: str | None = None  # the URI part of the argument; None if the request's own URI is passed on
    proxy_host: str = ""  # nginx's $proxy_host: host and port of the argument, without the port if it is the default one
    upstream: str | None = None  # name of the group, if there is one
    peers: tuple[Peer, ...] = ()
    has_variables: bool = False
    http_version: str = "1.0"
    host_header: str = "$proxy_host"
    headers: tuple[tuple[str, str], ...] = ()  # request headers set for the backend, as written
    sends_sni: bool = False
    sni_name: str = ""
    verifies_tls: bool = False
    has_client_certificate: bool = False
    connect_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    read_timeout_s: float = 60.0
    buffer_size_bytes: int = 4096  # the largest response header that the gateway takes
    buffers_count: int = 8
    buffer_bytes: int = 4096
    next_upstream: tuple[str, ...] = ("error", "timeout")
    next_upstream_tries: int = 0
    keepalive: int = 0
    keepalive_timeout_s: float = 60.0
    resolver: tuple[str, ...] = ()
    settings: dict[str, tuple[Setting, ...]] = {}  # every directive in force at that place, by name, each occurrence
    if_conditions: tuple[str, ...] = ()  # conditions of the `if` blocks around the directive

    def setting(self, name: str) -> Setting | None:
        """Return the last occurrence of a directive in force here; None if it is not set."""
        found = self.settings.get(name)
        return found[-1] if found else None

    def limit_status(self, name: str) -> int:
        """Return the status of a rejection by `limit_req` or `limit_conn` here."""
        setting = self.setting(f"{name}_status")
        word = setting.args[0] if setting and setting.args else ""
        return int(word) if len(word) == 3 and word.isascii() and word.isdigit() else LIMITED


class Location(Value, frozen=True, kw_only=True):
    """A location of a server, whether or not it leads to a backend.

    `path`: its own and the enclosing locations, outermost first, as written. `goes_on_to`: URIs or named locations that it
    redirects to internally (`try_files`, `index`, `rewrite … last`, `error_page`), as written.
    """

    path: tuple[str, ...]
    at: Position | None = None
    goes_on_to: tuple[str, ...] = ()


class Server(Value, frozen=True, kw_only=True):
    """A virtual server: its names, and all its locations in configuration order."""

    names: tuple[str, ...] = ()
    listens: tuple[str, ...] = ()
    at: Position | None = None
    locations: tuple[Location, ...] = ()
    goes_on_to: tuple[str, ...] = ()


class Answer(Value, frozen=True, kw_only=True):
    """A rule by which the proxy answers on its own (`return 503`, `deny all`), without a backend."""

    server: str = ""
    location: str = ""
    status: int
    at: Position | None = None
    if_conditions: tuple[str, ...] = ()
    is_limit: bool = False  # its condition is a rate of requests or connections
    is_of_some: bool = False  # its condition selects clients, or the requests that it denies; it is no maintenance of the whole
    is_of_responses: bool = False  # it replaces the backend's response


class LogTarget(Value, frozen=True, kw_only=True):
    """A log named in the configuration. `path` is absolute, or "" if the destination is not a file (see `goes_to`).

    `flush_s`: how long lines may wait in a buffer of the proxy. `condition`: only requests that meet it are logged (`if=`).
    `facility` and `tag`: of its messages to syslog, where that is known.
    `repeats`: another log of the same level has all of its requests, and tells more of them, or as much.
    """

    kind: LogKind
    path: str = ""
    goes_to: LogPlace = LogPlace.FILE
    level: str = ""  # level of an error log
    format_name: str = ""
    format: str = ""  # the log_format text of an access log
    escape: Escape = Escape.DEFAULT
    flush_s: float = 0.0
    condition: str = ""
    repeats: bool = False
    server: str = ""
    facility: str = ""
    tag: str = ""
    at: Position | None = None


def sends_proxy_header(route: Route) -> bool | None:
    """Return whether a route's setting says that the PROXY header is sent first; None if its servers differ."""
    setting = route.setting(SENDS_PROXY)
    return False if setting is None else True if setting.args[:1] != ("",) else None
