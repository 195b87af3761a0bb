"""nginx's defaults, by version, pass directive and build option.

From the `*_merge_loc_conf` functions of the upstream modules (src/http/modules, src/stream), src/event/ngx_event.c and
auto/options; versions from nginx's CHANGES.
"""

from __future__ import annotations

import posixpath

from why502.model.base import Value
from why502.model.times import whole_number

COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
COMPILED_PREFIX = "/usr/local/nginx"
WORKER_CONNECTIONS = 512
NEWEST = "1.31.4"  # the newest nginx whose directives and defaults are in the tables
SERVER_PORT = 80  # default port of a `server` in an `upstream` block, even for https://

Version = tuple[int, ...]


class Defaults(Value, frozen=True, kw_only=True):
    """Defaults that changed over time. `keepalive`: idle connections of an upstream block; `http_version`: for proxy_pass."""

    http_version: str = "1.0"
    keepalive: int = 0
    keepalive_timeout_s: float = 60.0


_CHANGES: tuple[tuple[Version, Defaults], ...] = (
    ((1, 29, 7), Defaults(http_version="1.1", keepalive=32)),
    ((0,), Defaults()),
)


class Pass(Value, frozen=True, kw_only=True):
    """A pass directive. `schemes`: prefix of its argument → protocol; "" if it may have none."""

    schemes: dict[str, str]
    ports: dict[str, int] = {}  # default port by protocol
    has_uri: bool = False
    host_header: str = ""
    header_directive: str = ""
    http_version: str | None = None  # None: depends on version and directive


PASSES: dict[str, Pass] = {
    "proxy_pass": Pass(
        schemes={"http://": "http", "https://": "https"},
        ports={"http": 80, "https": 443},
        has_uri=True,
        host_header="$proxy_host",
        header_directive="proxy_set_header",
    ),
    "fastcgi_pass": Pass(schemes={"": "fastcgi"}, host_header="$http_host", header_directive="fastcgi_param", http_version=""),
    "uwsgi_pass": Pass(
        schemes={"uwsgi://": "uwsgi", "suwsgi://": "uwsgi", "": "uwsgi"},
        host_header="$http_host",
        header_directive="uwsgi_param",
        http_version="",
    ),
    "scgi_pass": Pass(schemes={"": "scgi"}, host_header="$http_host", header_directive="scgi_param", http_version=""),
    "grpc_pass": Pass(
        schemes={"grpc://": "grpc", "grpcs://": "grpcs", "": "grpc"},
        host_header="$proxy_host",
        header_directive="grpc_set_header",
        http_version="2",
    ),
    "memcached_pass": Pass(schemes={"": "memcached"}, http_version=""),
    "tunnel_pass": Pass(schemes={"": "tunnel"}, http_version=""),  # CONNECT, since 1.31.0: raw bytes to any address
}
TUNNEL = "$host:$request_port"  # the default argument of tunnel_pass
STREAM_PASS = Pass(schemes={"": "tcp"}, http_version="")


def by_version(version: str) -> Defaults:
    """Return the defaults of a version (`1.22.1`); those of the oldest if it is unknown."""
    parts = tuple(found for part in version.split(".") if (found := whole_number(part, 9)) is not None)
    return next(defaults for since, defaults in _CHANGES if parts >= since or since == (0,))


class Build(Value, frozen=True, kw_only=True):
    """The build options of a binary. Paths are absolute; "" is unknown, and for `error_log` also standard error."""

    prefix: str = ""
    error_log: str = ""
    access_log: str = ""
    pid_file: str = ""
    user: str = ""
    is_known: bool = False

    def path(self, name: str) -> str:
        """Return the absolute path of a configured name; "" for none."""
        return posixpath.normpath(posixpath.join(self.prefix, name)) if name else ""


def build(arguments: tuple[str, ...], prefix: str = "", error_log: str = "") -> Build:
    """Return the build from the configure arguments (`nginx -V`) and the options -p and -e; without them paths are unknown."""
    options = dict(argument.removeprefix("--").partition("=")[::2] for argument in arguments if argument.startswith("--"))
    prefix = prefix or options.get("prefix", COMPILED_PREFIX if arguments else "")
    is_known = bool(arguments)

    def path(option: str, default: str) -> str:
        return posixpath.join(prefix, options.get(option) or default) if is_known else ""

    logged = error_log or (options.get("error-log-path", "logs/error.log") if is_known else "")
    return Build(
        prefix=prefix,
        error_log="" if logged in ("", "stderr") else posixpath.join(prefix, logged),
        access_log=path("http-log-path", "logs/access.log"),
        pid_file=path("pid-path", "logs/nginx.pid"),
        user=options.get("user", "nobody" if is_known else ""),
        is_known=is_known or bool(error_log),
    )
