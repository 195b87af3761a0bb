"""Request: what one probe sends, and Answer: a valid response."""

from __future__ import annotations

from why502.model.base import Value
from why502.model.config import Position
from why502.model.target import Target

# Our own limits. A proxy usually waits 60 s, a person does not; and where it waits less, an answer after that tells most.
CONNECT_S = 2.0
ANSWER_S = 2.5
SECOND_LOOK_S = 0.4
BODY_BYTES = 65536  # how much of a body is read
HEADER_BYTES = 1 << 20  # how far a header that is too big is measured
# PROXY headers of a connection that the proxy makes for itself (UNKNOWN, LOCAL). [proxy-protocol.txt, 2.1 and 2.2]
PROXY_HEADERS = {"v1": "PROXY UNKNOWN\r\n", "v2": "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"}
GATEWAY = (502, 503, 504)  # the application's own 500 is its own affair


class Tls(Value, frozen=True, kw_only=True):
    """How the proxy does TLS towards its backend (ngx_http_upstream_ssl_init_connection).

    `name` is what it verifies; "": any name will do.
    """

    sni: str = ""
    verifies: bool = False
    name: str = ""
    trusted: str = ""  # file of the issuers that it trusts
    certificate: str = ""
    key: str = ""
    protocols: tuple[str, ...] = ()
    ciphers: str = "DEFAULT"
    alpn: tuple[str, ...] = ()


class Request(Value, frozen=True, kw_only=True):
    """One attempt as the proxy would make it. `address` is where we connect, when that differs from the target's own name."""

    target: Target
    address: Target | None = None
    protocol: str = "http"
    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()  # of FastCGI, uwsgi and SCGI
    script: str = ""  # that FastCGI would run; "": nothing is run
    http_version: str = "1.0"
    tls: Tls | None = None
    preamble: str = ""  # sent before anything else: a PROXY header
    connect_s: float = CONNECT_S
    answer_s: float = ANSWER_S
    route_connect_s: float = 60.0
    route_read_s: float = 60.0
    buffer_bytes: int = 4096
    knows_host: bool = True  # False: its Host is none that a client is known to send
    is_strict: bool = False  # framing errors are refused (nginx from 1.23.0)
    repeats: bool = False  # a request that failed, by the logs
    only_connects: bool = False  # nothing is sent that the application would see: what was asked of it may have harmed it
    greets: bool = False  # then it may be greeted in other protocols: it never answered anything in this one
    spared: str = ""  # the visitors' request that is not repeated for that reason
    is_in_route: bool = True  # the path belongs to the route, so a 503 for it is one that visitors get
    through_proxy: bool = False
    url: str = ""
    route_at: Position | None = None
    owner_uid: int = 0  # the user, other than root, who has it sent: with that user's rights

    @property
    def silence(self) -> str:
        """Return what is said when no answer came within our limit, which is not the route's."""
        route = "" if self.through_proxy else f"; the route waits {self.route_read_s:g} s"
        return f"no answer within {self.answer_s:g} s, the probe limit{route}"


class Answer(Value, frozen=True, kw_only=True):
    """A proper answer. `is_suspect`: it may be another protocol's, so a second look is worth it."""

    status: int | None = None
    header_bytes: int | None = None
    detail: str = ""
    is_suspect: bool = False
