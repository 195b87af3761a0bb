"""The application waits for a dependency: a database, a lock or another service.

Its workers hold requests but use no CPU: each waits for an answer from the same peer. Requests that need that peer time out. Once
every worker waits, all requests do.

## Do not confuse with
- `backend-dependency-down`: the dependency does not answer at all.
- `workers-exhausted`, `backend-hung`, `backend-too-slow`: the same symptoms from the proxy's view.
- `cpu-saturation`: its workers use CPU time.

## Confirm
- `ss -tnp` shows each worker connected to the same peer. `cat /proc/PID/syscall` shows that they read from it or poll it.
- PostgreSQL: `SELECT pid, wait_event_type, query FROM pg_stat_activity WHERE state <> 'idle'`; MySQL: `SHOW FULL PROCESSLIST`.

## Fix
- Find the query, lock or call that all of them wait for. End the session that holds the lock, or make the query or call faster.
- Give such calls a timeout shorter than the proxy's (statement_timeout, lock_timeout, a read timeout of the client library).

## References
- https://man7.org/linux/man-pages/man5/proc_pid_syscall.5.html
- https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.waiting import called, is_hurt, is_late, name_of, said
from why502.model.finding import FAIR, LIKELY, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.snapshot import Dependency

ALL = 1.0
SHARE = 0.5
COMPUTES = 0.5  # processors that its own processes use; above it they do not only wait


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not is_hurt(case):
        return
    if own := [(need, event) for need, event in said(case) if not need.is_down]:
        need, event = own[-1]
        yield supports(
            f"the application reports about {called(case, need)}: {event.detail or event.message}", event.source, LIKELY
        )
    waited = _waited(case)
    if waited is None or not is_late(case):
        return
    are_all = waited.waiting >= ALL * waited.busy
    of = f"all {waited.waiting}" if are_all and waited.waiting > 1 else f"{waited.waiting} of {waited.busy}"
    yield supports(f"{of} busy workers wait for an answer from {name_of(waited)}", "/proc/PID/syscall, ss -tnp", LIKELY + are_all)
    if waited.does:
        is_waiting = any("waiting" in title for title in waited.does)
        message = f"it is working on: {', '.join(dict.fromkeys(waited.does))}"
        yield supports(message, f"/proc, titles of {waited.process or 'its processes'}", STRONG if is_waiting else FAIR)
    used = (case.host.kernel.of(case.target, case.host.kernel.backend_cpu) or 0) if case.host and case.host.kernel else 0.0
    if used > COMPUTES:
        yield refutes(f"its own processes are computing at the same time ({used:.1f} CPUs)", "/proc/PID/stat", FAIR)
    else:
        yield supports("its own processes are idle at the same time", "/proc/PID/stat", WEAK)


def _waited(case: Case) -> Dependency | None:
    """Return the peer that most of the busy workers wait for, if it is running."""
    found = [
        x
        for x in case.dependencies
        if x.waiting and x.waiting >= SHARE * max(x.busy, 1) and not (x.is_stopped or _is_its_own_gateway(case, x))
    ]
    return max(found, key=lambda x: x.waiting, default=None)


def _is_its_own_gateway(case: Case, peer: Dependency) -> bool:
    """Return whether the peer is a gateway that leads back to the target: the application calls itself and waits
    for its own workers.
    """
    return any(
        peer.pid is not None
        and peer.pid in proxy.pids
        and any(each.target == case.target for route in proxy.routes for each in route.peers)
        for proxy in case.here.proxies or ()
    )


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    waited = _waited(case)
    if waited is not None and is_late(case):
        doing = f" ({waited.does[0]})" if waited.does else ""
        return f"the workers of the application on {case.target} wait for {name_of(waited)}{doing}"
    own = [need for need, _ in said(case) if not need.is_down]
    return f"the application on {case.target} needs {called(case, own[-1])}, which {own[-1].how}" if own else ""


CAUSE = Cause(
    id="backend-dependency-slow",
    layer=Layer.UPSTREAM,
    message="the application waits for a dependency: a database, a lock or another service",
    headline="the application on {target} waits for a dependency",
    outranks=frozenset(
        {
            "application-error",
            "backend-hung",
            "backend-too-slow",
            "client-closed-request",
            "listen-backlog-overflow",
            "php-fpm-max-children",
            "proxy-timeout-too-short",
            "upstream-error-status",
            "worker-timeout",
            "workers-exhausted",
        }
    ),
    examine=examine,
    tell=tell,
)
