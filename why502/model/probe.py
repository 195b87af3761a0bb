"""A request of ours to a target, and what came of it."""

from __future__ import annotations

from datetime import datetime

from why502.model.base import Value
from why502.model.config import Position
from why502.model.logs import Symptom
from why502.model.target import Target

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
