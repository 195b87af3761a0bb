"""What a site needs, in the terms of no product: one model for every emitter."""

from __future__ import annotations

from enum import StrEnum

from why502.model.base import Value
from why502.model.target import Target


class Speech(StrEnum):
    """The protocol that the application speaks."""

    HTTP = "http"
    HTTPS = "https"
    FASTCGI = "fastcgi"
    UWSGI = "uwsgi"
    GRPC = "grpc"


class Method(StrEnum):
    """How requests are spread over the peers."""

    ROUND_ROBIN = "round-robin"
    LEAST_CONN = "least-conn"
    IP_HASH = "ip-hash"
    RANDOM = "random"


class TlsMode(StrEnum):
    """AUTO: certificates of an ACME client, as soon as they are there. FILES: two given files."""

    AUTO = "auto"
    OFF = "off"
    FILES = "files"


class Peer(Value, frozen=True, kw_only=True):
    """One server of the application."""

    target: Target
    weight: int = 1
    is_backup: bool = False

    @property
    def is_named(self) -> bool:
        """True if its host is a name, whose address may change."""
        return not self.target.is_address


class Health(Value, frozen=True, kw_only=True):
    """When a peer counts as failed. `path`: what a product with active checks asks for; "" for connections alone."""

    max_fails: int = 3
    fail_timeout_s: int = 10
    path: str = ""


class Group(Value, frozen=True, kw_only=True):
    """The servers of the application. `idle_s`: how long the proxy keeps an idle connection; 0 for none."""

    peers: tuple[Peer, ...]
    method: Method = Method.ROUND_ROBIN
    health: Health = Health()
    idle_s: int = 4

    @property
    def mains(self) -> tuple[Peer, ...]:
        """The servers that are not backups."""
        return tuple(peer for peer in self.peers if not peer.is_backup)


class Times(Value, frozen=True, kw_only=True):
    """Limits of time in seconds. `long_read_s`: of WebSockets and event streams. `tries_s`: in which a request is sent again."""

    connect_s: int = 3
    read_s: int = 30
    long_read_s: int = 3600
    tries_s: int = 10


class Rate(Value, frozen=True, kw_only=True):
    """Requests that one client may send in a second or a minute; `burst` more are served at once."""

    count: int
    unit: str
    is_dry_run: bool = False

    @property
    def burst(self) -> int:
        """How many requests may exceed the rate at one moment."""
        return 2 * self.count

    @property
    def per_second(self) -> float:
        """The rate in requests a second."""
        return self.count / (60 if self.unit == "m" else 1)


class Limits(Value, frozen=True, kw_only=True):
    """`max_body_bytes`: of a request; `header_bytes`: of the application's largest response header. 0: the product's default."""

    max_body_bytes: int = 0
    header_bytes: int = 0
    rate: Rate | None = None


class Tls(Value, frozen=True, kw_only=True):
    """TLS towards clients. `is_ready`: the certificate's files exist."""

    mode: TlsMode = TlsMode.OFF
    certificate: str = ""
    key: str = ""
    is_ready: bool = False


class Trust(Value, frozen=True, kw_only=True):
    """TLS towards the application: the name in its certificate, and the file of trusted issuers."""

    name: str = ""
    issuers: str = ""


class Site(Value, frozen=True, kw_only=True):
    """One site in front of one application. `name`: of its groups and zones, `[a-z0-9_]+`.

    `reasons`: for a field's name (`read`, `idle`), where its value comes from.
    """

    name: str
    group: Group
    domains: tuple[str, ...] = ()
    is_default: bool = False
    port: int = 80
    tls_port: int = 443
    has_ipv6: bool = True
    tls: Tls = Tls()
    trust: Trust = Trust()
    speech: Speech = Speech.HTTP
    root: str = ""
    acme_root: str = ""
    websockets: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    times: Times = Times()
    limits: Limits = Limits()
    stale_s: int = 0
    resolvers: tuple[str, ...] = ()
    has_error_pages: bool = True
    reasons: dict[str, str] = {}

    @property
    def file_name(self) -> str:
        """The name of its file, without an ending: the first domain, else its own name."""
        return self.domains[0].removeprefix("*.") if self.domains else self.name

    @property
    def names(self) -> tuple[Peer, ...]:
        """The peers whose address must be looked up again and again."""
        return tuple(peer for peer in self.group.peers if peer.is_named)
