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
from why502.diagnosis.listening import accepts
from why502.diagnosis.slots import slots
from why502.diagnosis.streams import gateway_at
from why502.diagnosis.targets import behind
from why502.diagnosis.waiting import called, dependency_errors, is_hurt, is_late, name_of
from why502.model.finding import FAIR, LIKELY, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Dependency

ALL = 1.0
_LOCKED = "waiting"  # in a title: src/backend/storage/lmgr, set_ps_display_suffix
# In a title: cluster, role, database, host ("[local]") and command (init_ps_display).
_SESSION = lazy(r"postgres: (?:\S{1,100}: )?(?P<role>\S{1,63}) \S{1,63} \[local\] (?P<does>[A-Z ]{1,60} waiting)$")
_OVER_TCP = lazy(
    r"postgres: (?:\S{1,100}: )?\S{1,63} \S{1,63} (?:127\.|::1)[\d.]{0,12}\(\d{2,5}\) (?P<does>[A-Z ]{1,60} waiting)$"
)
SEVERAL = 3  # sessions
SHARE, MOST = 0.5, 0.6  # of the busy workers
COMPUTES = 0.5  # processors that its own processes use; above it they do not only wait


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not is_hurt(case):
        return
    if own := [(need, event) for need, event in dependency_errors(case) if not need.is_down]:
        need, event = own[-1]
        yield supports(
            f"the application reports about {called(case, need)}: {event.detail or event.message}", event.source, LIKELY
        )
    waited = _waited(case)
    if waited is None and (blocked := _blocked(case)) is not None:
        locked = [title for title in blocked.does if _LOCKED in title]
        message = f"{len(locked)} of its {len(blocked.does)} sessions at {name_of(blocked)} wait for a lock: {locked[0]}"
        is_all = len(locked) == len(blocked.does)
        yield supports(message, f"/proc, titles of {blocked.process}", LIKELY + (WEAK if is_all else 0.0))
    elif waited is None and (beyond := _locked_beyond(case)) is not None:
        peer, sessions = beyond
        message = (
            f"{len(sessions)} sessions at PostgreSQL, which it reaches through {name_of(peer)}, wait for a lock: {sessions[0]}"
        )
        yield supports(message, "/proc, titles of postgres", LIKELY + WEAK)
    elif waited is None and (locked := _locked_here(case)):
        message = f"{len(locked)} sessions of its user at the PostgreSQL of this machine wait for a lock: {locked[0]}"
        yield supports(message, "/proc, titles of postgres", LIKELY + WEAK)
    if waited is None or not is_late(case):
        return
    busy = _busy(case, waited)
    are_all = waited.waiting >= ALL * busy
    of = f"all {waited.waiting}" if are_all and waited.waiting > 1 else f"{waited.waiting} of {busy}"
    # A single worker may be a new one, at its first query, while its server ends those that compute for too long.
    is_one = waited.waiting == 1 and bool(case.events(Symptom.WORKER_TIMED_OUT))
    weight = FAIR if is_one or waited.waiting < MOST * busy else LIKELY + are_all
    yield supports(f"{of} busy workers wait for an answer from {name_of(waited)}", "/proc/PID/syscall, ss -tnp", weight)
    if waited.does:
        is_waiting = any("waiting" in title for title in waited.does)
        message = f"it is working on: {', '.join(dict.fromkeys(waited.does))}"
        yield supports(message, f"/proc, titles of {waited.process or 'its processes'}", STRONG if is_waiting else FAIR)
    if not waited.does and (full := _turns_over(case)):
        yield refutes(full, "ss -lx, access log", LIKELY)
    used = (case.host.kernel.of(case.target, case.host.kernel.backend_cpu) or 0) if case.host and case.host.kernel else 0.0
    if used > COMPUTES:
        yield refutes(f"its own processes are computing at the same time ({used:.1f} CPUs)", "/proc/PID/stat", FAIR)
    else:
        yield supports("its own processes are idle at the same time", "/proc/PID/stat", WEAK)


def _busy(case: Case, peer: Dependency) -> int:
    """Return how many workers can be busy: connections beyond what its command lets it serve at once wait inside of it."""
    room = slots(case)
    return min(peer.busy, room) if room else peer.busy


def _waited(case: Case) -> Dependency | None:
    """Return the peer that most of the busy workers wait for, if it is running."""
    found = [
        x
        for x in case.dependencies
        if x.waiting and x.waiting >= SHARE * max(_busy(case, x), 1) and not (x.is_stopped or _is_its_own_gateway(case, x))
    ]
    return max(found, key=lambda x: x.waiting, default=None)


def _blocked(case: Case) -> Dependency | None:
    """Return the peer at which sessions of the application wait for a lock, by the titles of its processes (PostgreSQL), while
    requests time out. The workers themselves may just have been replaced.
    """
    found = (x for x in case.dependencies if any(_LOCKED in title for title in x.does) and not x.is_stopped)
    return next(found, None) if is_late(case) else None


def _locked_here(case: Case) -> list[str]:
    """Return what the sessions do that wait for a lock at a PostgreSQL of the target's machine, if there are several and their
    role has the name of a user who runs the target's processes, while requests time out.

    A session over the unix socket shows no client in its title, and by default only the user of that name may open it (peer
    authentication).
    """
    users = {process.user for process in case.processes if process.user}
    if not users or not is_late(case) or case.loses_connections:
        return []
    titles = (" ".join(process.argv) for process in (case.host.processes if case.host else None) or ())
    found = [match["does"] for title in titles if (match := _SESSION.match(title[:300])) and match["role"] in users]
    return found if len(found) >= SEVERAL else []


def _locked_beyond(case: Case) -> tuple[Dependency, list[str]] | None:
    """Return the gateway of this machine through which the application reaches a PostgreSQL of it (nginx's stream, HAProxy), and
    what the sessions do that wait there for a lock, if there are several, while requests time out; else None.
    """
    host = case.host
    if host is None or not is_late(case):
        return None
    for peer in case.dependencies:
        proxy = gateway_at(case, peer)
        ends = tuple(behind(proxy, peer.peer, case.here)) if proxy is not None else ()
        owners = {pid for each in host.listeners or () if any(accepts(each.target, end) for end in ends) for pid in each.pids}
        titles = (" ".join(process.argv)[:300] for process in host.processes or () if process.ppid in owners)
        found = [match["does"] for title in titles if (match := _OVER_TCP.match(title))]
        if len(found) >= SEVERAL:
            return peer, found
    return None


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


def _full_pool(case: Case) -> str:
    """Return that no child of its PHP-FPM pool is free for others that wait, which a small pm.max_children brings about as well;
    "" if that is not so.
    """
    pool = case.pool
    if pool is None or pool.max_children is None or (pool.children or 0) < pool.max_children or not case.queued:
        return ""
    rest = "connection waits" if case.queued == 1 else "connections wait"
    return (
        f"; they are all that pm.max_children = {pool.max_children} of pool {pool.name} allows, and {case.queued} {rest} "
        "for a free one"
    )


def _turns_over(case: Case) -> str:
    """Return that requests were answered after the first one failed, while more wait for a child of a full PHP-FPM pool than it
    has; "" if not so. Too few children look the same as a slow peer then: nothing shows that each query takes longer.
    """
    pool, first, answered = case.pool, case.first_failure, case.last_answered
    if not _full_pool(case) or pool is None or first is None or answered is None or answered <= first:
        return ""
    if case.queued <= (pool.max_children or 0):
        return ""
    return f"its children were free for others until {answered:%H:%M:%S}, and more requests wait than it has children"


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    waited = _waited(case)
    if waited is not None and is_late(case):
        doing = f" ({waited.does[0]})" if waited.does else ""
        return f"the workers of the application on {case.target} wait for {name_of(waited)}{doing}{_full_pool(case)}"
    if waited is None and (blocked := _blocked(case)) is not None:
        return f"the application on {case.target} waits for {name_of(blocked)}, where its sessions wait for a lock"
    if waited is None and (beyond := _locked_beyond(case)) is not None:
        peer, sessions = beyond
        return (
            f"the application on {case.target} waits for PostgreSQL, which it reaches through {name_of(peer)}: {len(sessions)} "
            "sessions there wait for a lock"
        )
    if waited is None and (locked := _locked_here(case)):
        return f"the application on {case.target} waits for PostgreSQL, where {len(locked)} of its sessions wait for a lock"
    own = [need for need, _ in dependency_errors(case) if not need.is_down]
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
    summarize=summarize,
)
