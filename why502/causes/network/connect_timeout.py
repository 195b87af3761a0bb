"""No answer to the connection attempt: packets dropped by a firewall, host down, wrong route.

nginx answers 504 when its own proxy_connect_timeout runs out, 502 when the kernel gives up first. Waiting for the whole 60 s default hides
a dead peer: a few seconds are enough inside one network.

## Confuse not with
- `listen-backlog-overflow`: the listener is there, its queue is full, and the kernel drops the SYN.
- `backend-too-slow`: the connection stands and the answer is late ("while reading response header").
- `connect-rejected`, `host-unreachable`: somebody answered.

## Confirm
- `nc -vz -w 3 HOST PORT` from the proxy's machine; `tcpdump -ni any port PORT` shows SYN packets without answer.

## Fix
- Open the port in the firewall or security group between the two, or bring the host up.

## References
- nginx: src/http/ngx_http_upstream.c (one timer for connect and TLS handshake)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.model.finding import LIKELY, PROOF, WEAK, Evidence, Layer, refutes
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if not case.seen(*CAUSE.symptoms):
        return
    if case.answers_now is True and case.last_failure is not None:
        yield refutes("the target takes connections now", "probe", WEAK)
    for listener in case.listeners or ():
        if listener.queued is not None and listener.backlog is not None and listener.queued > listener.backlog:
            yield refutes(
                f"the accept queue of {listener.target} is full: the SYN is dropped there, not on the way", "ss -ltn", PROOF
            )


CAUSE = Cause(
    id="connect-timeout",
    layer=Layer.NETWORK,
    says="no answer to the connection attempt: packets dropped by a firewall, host down, wrong route",
    symptoms={Symptom.CONNECT_TIMED_OUT: LIKELY, Symptom.TLS_TIMED_OUT: WEAK},
    yields_to=frozenset(
        {
            "backend-hung",
            "connect-rejected",
            "conntrack-table-full",
            "container-network-mismatch",
            "listen-backlog-overflow",
            "proxy-config-not-loaded",
            "proxy-config-invalid",
            "stale-dns",
            "wrong-address",
        }
    ),
    examine=examine,
)
