"""Families of symptoms: those that one fault shows together. An incident has one family, which is part of its identity."""

from __future__ import annotations

from enum import StrEnum

from why502.model.logs import NOTICES, Symptom


class Family(StrEnum):
    """A family of symptoms; those after CLIENT are none of requests."""

    CONNECTION = "connection"
    TIME = "time"
    NAME = "name"
    TLS = "tls"
    ANSWER = "answer"
    PROXY = "proxy"
    INTENDED = "intended"
    CLIENT = "client"
    UNEVEN = "uneven"  # one member fails far more often than the others
    BUDGET = "budget"  # an objective
    GATEWAY = "gateway"  # a gateway that does not run
    LOG = "log"  # a log that cannot be read, or is silent
    LIMIT = "limit"  # a limit that will be reached
    NETWORK = "network"  # the network of this machine itself


_MEMBERS: dict[Family, tuple[Symptom, ...]] = {
    Family.CONNECTION: (
        *(Symptom.CONNECT_REFUSED, Symptom.CONNECT_TIMED_OUT, Symptom.CONNECT_RESET, Symptom.CONNECT_DENIED),
        *(Symptom.HOST_UNREACHABLE, Symptom.SOCKET_PATH_MISSING, Symptom.QUEUE_FULL, Symptom.NO_LOCAL_PORT),
        *(Symptom.BIND_FAILED, Symptom.SOCKET_DENIED, Symptom.CONNECT_FAILED, Symptom.NO_LIVE_UPSTREAMS, Symptom.NO_MEMBERS),
        *(Symptom.PEER_LIMIT, Symptom.CIRCUIT_OPEN, Symptom.SEND_FAILED, Symptom.CLOSED_BEFORE_HEADER),
        *(Symptom.RESET_BEFORE_HEADER, Symptom.CLOSED_IN_BODY, Symptom.RESET_IN_BODY, Symptom.CONNECTION_DIED),
        *(Symptom.STREAM_RESET, Symptom.HEALTH_CHECK_FAILED, Symptom.STALE_ENDPOINT, Symptom.TUNNEL_DOWN),
    ),
    Family.TIME: (
        *(Symptom.READ_TIMED_OUT, Symptom.SEND_TIMED_OUT, Symptom.BODY_TIMED_OUT, Symptom.TLS_TIMED_OUT),
        *(Symptom.WORKER_TIMED_OUT, Symptom.WORKERS_BUSY, Symptom.PHP_MAX_CHILDREN),
    ),
    Family.NAME: (Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED, Symptom.NO_RESOLVER, Symptom.TARGET_INVALID),
    Family.TLS: (
        *(Symptom.TLS_FAILED, Symptom.TLS_NOT_TLS, Symptom.TLS_UNVERIFIED, Symptom.TLS_CLIENT_CERTIFICATE),
        *(Symptom.TLS_OWN_CERTIFICATE, Symptom.TLS_REQUEST_EXPECTED),
    ),
    Family.PROXY: (
        *(Symptom.WORKER_CONNECTIONS, Symptom.FILES_EXHAUSTED, Symptom.MEMORY_EXHAUSTED, Symptom.TEMP_DENIED),
        *(Symptom.DISK_FULL, Symptom.IO_FAILED, Symptom.TEMP_FILE_LIMIT, Symptom.SHARED_MEMORY, Symptom.CACHE_FULL),
        *(Symptom.WORKSPACE, Symptom.REWRITE_CYCLE, Symptom.CONFIG_INVALID, Symptom.LISTEN_FAILED),
        *(Symptom.PROXY_WORKER_DIED, Symptom.PROXY_START_FAILED, Symptom.PROXY_INTERNAL, Symptom.RELOAD_FAILED),
    ),
    Family.INTENDED: (Symptom.RATE_LIMITED, Symptom.OWN_STATUS, Symptom.DENIED_BY_RULE, Symptom.PEER_DISABLED),
    Family.CLIENT: (
        *(Symptom.CLIENT_CLOSED, Symptom.CLIENT_TIMED_OUT, Symptom.CLIENT_BAD_REQUEST, Symptom.CLIENT_PROTOCOL),
        Symptom.REQUEST_TOO_LARGE,
    ),
}
_OF = {symptom.value: family for family, symptoms in _MEMBERS.items() for symptom in symptoms}
_IGNORED = frozenset(symptom.value for symptom in NOTICES if symptom.value not in _OF)
# What no request tells, but the daemon sees for itself.
OWN = frozenset({Family.BUDGET, Family.LOG, Family.GATEWAY, Family.LIMIT, Family.NETWORK})
UNHURT = frozenset({Family.INTENDED, Family.CLIENT})  # the gateway, or the client, wanted it so


def family_of(symptom: str) -> Family | None:
    """Return the family of a symptom; None for what servers note in normal operation. An unknown one is an answer."""
    return None if symptom in _IGNORED else _OF.get(symptom, Family.ANSWER)
