"""Request: the data of one probe, and Answer: a valid response."""

from __future__ import annotations

import math

from why502.model.base import Value
from why502.model.config import Position
from why502.model.network import Network
from why502.model.target import Target

# Our own limits. A proxy usually waits 60 s, a person does not; if the proxy waits less, a late answer is the best evidence.
CONNECT_S = 2.0
ANSWER_S = 2.5
SECOND_LOOK_S = 0.4
BODY_BYTES = 65536  # maximum bytes of a body that are read
HEADER_BYTES = 1 << 20  # maximum size up to which an oversized header is measured
# PROXY headers of a connection that the proxy opens for itself (UNKNOWN, LOCAL). [proxy-protocol.txt, 2.1 and 2.2]
PROXY_HEADERS = {"v1": "PROXY UNKNOWN\r\n", "v2": "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"}
# A WebSocket handshake (RFC 6455, 4.1). The key is any 16 bytes in base64; nobody checks what we would make of the answer.
HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "d2h5NTAyLXdoeTUwMi0wMQ=="),
)
GATEWAY = (502, 503, 504)  # the application's own 500 is not a gateway error


class Tls(Value, frozen=True, kw_only=True):
    """The proxy's TLS settings towards its backend (ngx_http_upstream_ssl_init_connection).

    `name` is the name it verifies; "": any name is accepted.
    """

    sni: str = ""
    verifies: bool = False
    name: str = ""
    trusted: str = ""  # file of the trusted issuers
    certificate: str = ""
    key: str = ""
    protocols: tuple[str, ...] = ()
    ciphers: str = "DEFAULT"
    alpn: tuple[str, ...] = ()


class Request(Value, frozen=True, kw_only=True):
    """One attempt as the proxy would make it. `address` is the address to connect to, if it differs from the target's own
    name.
    """

    target: Target
    address: Target | None = None
    protocol: str = "http"
    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, str], ...] = ()  # parameters of FastCGI, uwsgi and SCGI
    script: str = ""  # the script that FastCGI would run; "": none
    http_version: str = "1.0"
    tls: Tls | None = None
    preamble: str = ""  # a PROXY header, sent before anything else
    connect_s: float = CONNECT_S
    answer_s: float = ANSWER_S
    route_connect_s: float = 60.0
    route_read_s: float = 60.0
    buffer_bytes: int = 4096
    knows_host: bool = True  # False: no client is known to send this Host
    is_strict: bool = False  # framing errors are refused (nginx from 1.23.0)
    repeats: bool = False  # it repeats a request that failed in the logs
    only_connects: bool = False  # nothing is sent that the application would see: the visitors' requests may have harmed it
    greets: bool = False  # it may be greeted in other protocols, because it never answered anything in this one
    spared: str = ""  # the visitors' request that is not repeated for that reason
    is_in_route: bool = True  # the path belongs to the route, so visitors get the same 503
    wanted: str = ""  # text that the start of the body must contain
    through_proxy: bool = False
    url: str = ""
    route_at: Position | None = None
    network_of: Network | None = None  # the network namespace to connect in; None: ours
    owner_uid: int = 0  # the user, other than root, whose configuration causes this request: it is sent with that user's rights

    @property
    def is_handshake(self) -> bool:
        """Return whether it asks to open a WebSocket; only 101 is the answer that it wants."""
        return self.headers == HANDSHAKE

    @property
    def silence(self) -> str:
        """Return the message for no answer within our limit, which is shorter than the route's."""
        waits = "without a limit" if math.isinf(self.route_read_s) else f"{self.route_read_s:g} s"
        route = "" if self.through_proxy else f"; the route waits {waits}"
        return f"no answer within {self.answer_s:g} s, the probe limit{route}"

    def is_wanted(self, body: bytes) -> bool:
        """Return whether the start of a body contains what the user wants there."""
        return self.wanted.encode() in body


class Answer(Value, frozen=True, kw_only=True):
    """A valid answer. `is_suspect`: it may belong to another protocol, so a second probe is worthwhile."""

    status: int | None = None
    header_bytes: int | None = None
    detail: str = ""
    is_suspect: bool = False
