"""The kernel killed the backend process because memory or its cgroup limit was exhausted.

The application gets SIGKILL and cannot log anything. The connection is reset or closed (502). Later connections are refused until
it is started again. On cgroup v1 systemd reports only "status=9/KILL"; only the kernel log gives the reason.

## Do not confuse with
- `backend-crashed`: it died from another signal, or exited on its own.
- `memory-pressure`: no process was killed, but everything is slow.
- The death of another program: many are called python3, node or java. Only a process id, a unit or a control group shows whose it
  was; a name and the time make it likely at most.

## Confirm
- `journalctl -k -g 'Killed process'` names the process. `systemctl show -p Result UNIT` shows oom-kill. See also `memory.events`
  of its cgroup.

## Fix
- Find out what uses the memory. Then raise MemoryMax= or the container's limit to what the application needs, or run fewer
  workers.

## References
- https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
- https://www.freedesktop.org/software/systemd/man/systemd.service.html#OOMPolicy=
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.deaths import weigh_death
from why502.diagnosis.place import proof_of
from why502.diagnosis.routed import BROKEN
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Event
from why502.model.times import whole_number
from why502.remedies.changes import start
from why502.remedies.drop_ins import clear_failures, restart_remedies, write_drop_in

GONE = (Symptom.CONNECT_REFUSED, Symptom.SOCKET_PATH_MISSING, Symptom.NO_LIVE_UPSTREAMS, Symptom.GATEWAY_STATUS)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    hurt = case.seen(*BROKEN, *GONE) or case.gone is not None
    if not hurt and case.target is not None:
        return
    for service in case.services:
        if service.oom_killed:
            message = f"{service.manager} reports that {service.name} was killed for lack of memory"
            yield supports(message, service.manager, proof_of(service))
            return
    kills = sorted(_kills(case), key=case.is_of_a_name)  # those that are known to be the target's come first
    for event in kills[:1]:
        yield weigh_death(case, event)
        return
    for event in case.deaths_at_break(Symptom.OOM_KILLED)[:1]:
        yield weigh_death(case, event, f"{event.message}, just when the failures began; nothing has listened since")
        return
    for tally in case.words(Symptom.OOM_KILLED)[:1]:
        message = f"the kernel killed {tally.process or 'a process'} for lack of memory"
        yield supports(message, tally.source, PROOF if case.is_named_by(tally) else LIKELY)


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: start the service again; if it exceeded its unit's limit and the machine has twice that free,
    raise the limit.
    """
    free = min((p.memory_available_bytes for p in case.pressure if p.memory_available_bytes is not None), default=0)
    for service in case.services:
        yield from restart_remedies(service, is_failure=_ended_by(case, service))
        name = next((name for name in ("MemoryMax", "MemoryLimit") if whole_number(service.settings.get(name, ""))), "")
        limit = int(service.settings[name]) if name else 0
        if limit and free >= 2 * limit and (service.oom_killed or _exceeded_its_group(case)):
            # the limit ended it each time, so its restarts before do not count any more
            begin = (clear_failures(service), start(service)) if service.is_running is False else ()
            if steps := write_drop_in(service, "memory", f"{name}={2 * limit}"):
                message = (
                    f"raise the memory limit of {service.name} from {limit >> 20} to {2 * limit >> 20} MiB ({free >> 20} MiB "
                    "are free)"
                )
                yield Remedy(message=message, steps=(*steps, *begin))
        yield Remedy(message="find out what uses the memory: it will be killed again")


def _kills(case: Case) -> tuple[Event, ...]:
    return (*case.events(Symptom.OOM_KILLED), *case.kills_at_death())


def _ended_by(case: Case, service: Service) -> bool:
    """Return whether a kill ended a service, so that it is down or was started again since: a worker alone is replaced."""
    started_at = service.started_at
    return service.is_running is False or any(started_at and event.at and started_at >= event.at for event in _kills(case))


def _exceeded_its_group(case: Case) -> bool:
    """Return whether the kernel reports that a process of the target exceeded the limit of its control group, not the machine's
    memory.
    """
    own = (kill.message for kill in _kills(case) if not case.is_of_a_name(kill))
    return any("Memory cgroup out of memory" in message or "CONSTRAINT_MEMCG" in message for message in own)


CAUSE = Cause(
    id="backend-oom-killed",
    layer=Layer.UPSTREAM,
    message="the kernel killed the backend process because memory or its cgroup limit was exhausted",
    headline="the process behind {target} was killed for lack of memory",
    symptoms={Symptom.OOM_KILLED: LIKELY},
    needs=frozenset({"events", "processes"}),
    explains=frozenset(
        {
            "backend-crash-loop",
            "backend-crashed",
            "backend-not-running",
            "backend-startup-failure",
            "backend-too-slow",
            "connect-timeout",
            "connection-lost",
            "connection-reset",
            "host-unreachable",
            "keepalive-race",
            "memory-pressure",
            "php-fpm-crashed",
            "php-fpm-max-children",
            "premature-close",
            "proxy-worker-crashed",
            "truncated-response",
            "unix-socket-missing",
            "worker-timeout",
        }
    ),
    examine=examine,
    remedies=remedies,
)
