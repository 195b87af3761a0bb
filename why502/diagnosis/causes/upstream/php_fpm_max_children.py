"""The PHP-FPM pool reached pm.max_children.

All children are busy. Further requests wait in the listen queue until nginx gives up (504). If the queue is full too, a unix
socket returns EAGAIN (502). PHP-FPM logs it once with pm = dynamic or ondemand, and not at all with pm = static. In that state
the status page on the pool's own socket hangs.

## Do not confuse with
- `listen-backlog-overflow`: the queue overflows for another reason.
- `worker-timeout`: request_terminate_timeout ended the child.

## Confirm
- The pool's log shows "server reached pm.max_children setting". `ss -lx` shows Recv-Q above 0 on its socket.

## Fix
- Find the slow script first (slowlog, request_slowlog_timeout). Then set pm.max_children according to memory (free memory /
  memory of one child), and adjust pm.start_servers, pm.min_spare_servers and pm.max_spare_servers. Run `php-fpm -t` before the
  reload.

## References
- https://www.php.net/manual/en/install.fpm.configuration.php (pm.max_children)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.backends.php_fpm.config import edits
from why502.backends.php_fpm.size import size
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import alone, never_answered
from why502.diagnosis.takers import doors_of
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.remedies.changes import reload_php

LATE = (  # symptoms of a request that finds no free child
    *(Symptom.READ_TIMED_OUT, Symptom.QUEUE_FULL, Symptom.CONNECT_TIMED_OUT, Symptom.CLIENT_CLOSED),
    *(Symptom.GATEWAY_STATUS, Symptom.UPSTREAM_STATUS),
)
OWN_ERROR = 500  # a script that failed had a child


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    is_late = any(tally.symptom in LATE and tally.status != OWN_ERROR for tally in case.tallies)
    slow = is_late or case.probe(*LATE) is not None or _is_late_in_front(case)
    if slow and case.failures and not case.tally(*LATE) and case.events(Symptom.WORKER_TIMED_OUT):
        return  # no request waited too long for a child: the children were ended
    if not slow and (case.target is not None or not case.words(Symptom.PHP_MAX_CHILDREN)):
        return
    if slow and case.target is not None and (apart := never_answered(case)):
        message = f"{apart.message}: it keeps children busy that other requests wait for, whatever their number"
        yield refutes(message, "access log", 2 * PROOF)
    elif slow and not case.queued and (spared := _spares_others(case)):
        message = f"{spared}, and no connection waits: the limit was reached for a moment, and it is that path that is slow"
        yield refutes(message, "access log, ss -lx", PROOF)
    for tally in case.words(Symptom.PHP_MAX_CHILDREN)[:1]:
        yield supports(f"PHP-FPM reports that it reached max_children {tally.detail}".rstrip(), tally.source, PROOF)
    for event in case.events(Symptom.PHP_MAX_CHILDREN)[:1]:
        yield supports(event.message, event.source, PROOF)
    pool = case.pool
    if pool is None or pool.max_children is None:
        return
    if case.processes and all(process.is_stopped for process in case.processes):
        return  # stopped: no child is busy
    waiting = case.queued
    if pool.children is not None and pool.children >= pool.max_children:
        yield supports(f"pool {pool.name} runs {pool.children} children, its pm.max_children is {pool.max_children}", "ps", WEAK)
        if waiting:
            yield supports(f"{waiting} connections wait for a free child", "ss -lx", LIKELY)
        elif pool.children_busy is not None and pool.children_busy >= pool.max_children:
            yield supports("all of them are busy", "/proc", STRONG)


def _spares_others(case: Case) -> str:
    """Return that only one path fails, while others on its routes are served to the end; "" if that is not so."""
    first, last = case.first_failure, case.last_failure
    message = alone(case) if case.target is not None and first and last and last > first else ""
    served = max((path.last_served for path in case.paths if path.last_served), default=None)
    return message if message and served and last and served >= last.replace(microsecond=0) else ""


def _is_late_in_front(case: Case) -> bool:
    """Return whether a request of ours to the gateway that asks the pool, which stands behind another one, finds no free child
    now: it gets no answer in time, and connections wait in the pool's queue.
    """
    if not case.queued or case.proxy is None:
        return False
    probes = (probe for target in doors_of(case.joins, case.proxy) for probe in case.joins.probes.get(target, ()))
    return any(probe.symptom in LATE for probe in probes)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: all pool values, calculated from the memory of one child."""
    pool = case.pool
    free = min((p.memory_available_bytes for p in case.pressure if p.memory_available_bytes), default=None)
    fitting = size(pool, free) if pool is not None and free else None
    if pool is not None and fitting is not None:
        values = ", ".join(f"{name} = {value}" for name, value in fitting.settings.items())
        changes, load = edits(pool, fitting.settings), reload_php(case, pool)
        yield Remedy(
            message=f"{fitting.message}; in {pool.file}: {values}" if fitting.grows else fitting.message,
            steps=(*changes, *load) if fitting.grows and changes and load else (),
        )


CAUSE = Cause(
    id="php-fpm-max-children",
    layer=Layer.UPSTREAM,
    protocol="fastcgi",
    commonest_for=frozenset({Symptom.READ_TIMED_OUT, Symptom.SEND_TIMED_OUT, Symptom.CONNECT_TIMED_OUT, Symptom.QUEUE_FULL}),
    message="the PHP-FPM pool reached pm.max_children",
    headline="all PHP-FPM children behind {target} are busy: pm.max_children is reached",
    symptoms={Symptom.PHP_MAX_CHILDREN: LIKELY},
    needs=frozenset({"php_pools"}),
    explains=frozenset(
        {
            "backend-hung",
            "backend-too-slow",
            "client-closed-request",
            "listen-backlog-overflow",
            "proxy-timeout-too-short",
            "workers-exhausted",
        }
    ),
    is_reached_by_load=True,
    examine=examine,
    remedies=remedies,
)
