"""The backend's accept queue is full, and the kernel drops or refuses new connections.

A listening socket queues at most min(backlog, net.core.somaxconn) + 1 connections. Above that the kernel drops a TCP SYN (nginx:
connect timeout, 504), and connect() to a unix socket fails with EAGAIN (nginx: "(11: Resource temporarily unavailable)", 502
immediately). The queue is full because the application does not accept connections: all workers are busy, or the process hangs.

## Do not confuse with
- `connect-timeout`: the queue is empty; a firewall drops the SYN.
- `workers-exhausted`: connections wait in the queue, but it is not full yet.
- `php-fpm-max-children`: the same problem for a PHP-FPM pool.

## Confirm
- `ss -ltn` or `ss -lx` shows Recv-Q above Send-Q. `nstat -az TcpExtListenOverflows` grows (TCP only).

## Fix
- Give the application more workers, or make its requests faster. A larger backlog only makes the queue longer.

## References
- https://man7.org/linux/man-pages/man2/listen.2.html
- https://man7.org/linux/man-pages/man7/unix.7.html (EAGAIN)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, LIKELY, PROOF, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.target is None:
        return
    seen = case.seen(Symptom.QUEUE_FULL, Symptom.CONNECT_TIMED_OUT)
    if case.loses_connections:
        yield refutes(
            "the kernel has not dropped one connection because of a full accept queue", "nstat TcpExtListenOverflows", PROOF
        )
        return
    for listener in case.listeners or ():
        if listener.queued is None or listener.backlog is None:
            continue
        if listener.queued > listener.backlog:
            yield supports(
                f"{listener.queued} connections wait in the accept queue, whose limit is {listener.backlog}", "ss -ltnx", PROOF
            )
        elif listener.queued == 0 and case.probe(Symptom.CONNECT_TIMED_OUT):
            yield refutes("its accept queue is empty, yet a connection from this machine times out", "ss -ltnx", PROOF)
        elif seen and case.tally(Symptom.CONNECT_TIMED_OUT) and case.is_local and case.target.is_loopback:
            yield supports(
                "the listener is on this machine: there is no network in between that could lose connections",
                "ss -ltnx",
                WEAK,
            )
    kernel = case.host.kernel if case.host else None
    if seen and kernel and kernel.listen_overflows and not case.target.is_unix and case.listeners:
        yield supports(
            f"the kernel counted {kernel.listen_overflows} accept-queue overflows", "nstat TcpExtListenOverflows", FAIR
        )
        if kernel.listen_overflows_now:
            message = f"and {kernel.listen_overflows_now} of them during the measurement"
            yield supports(message, "nstat TcpExtListenOverflows", WEAK)


CAUSE = Cause(
    id="listen-backlog-overflow",
    layer=Layer.UPSTREAM,
    message="the backend's accept queue is full, and the kernel drops or refuses new connections",
    headline="the accept queue of {target} is full",
    symptoms={Symptom.QUEUE_FULL: LIKELY, Symptom.CONNECT_TIMED_OUT: WEAK},
    needs=frozenset({"listeners"}),
    explains=frozenset(
        {
            "backend-too-slow",
            "client-closed-request",
            "connect-timeout",
            "connection-reset",
            "proxy-timeout-too-short",
            "workers-exhausted",
        }
    ),
    examine=examine,
)
