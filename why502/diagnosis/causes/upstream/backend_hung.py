"""The backend accepts connections but never answers: stuck, deadlocked, or stopped by a signal.

The kernel completes connections even if the process does nothing, as long as its accept queue has room. The connection is
established, and only the read timeout ends the wait (504).

## Do not confuse with
- `backend-too-slow`: it does answer, but late; other requests succeed.
- `workers-exhausted`: the workers are busy, but one becomes free now and then.

## Confirm
- In `ps -o pid,stat,wchan:20 -p PID`, T means stopped and D means waiting for a device. `py-spy dump`, `jstack` or `gdb -p` shows
  where it hangs.

## Fix
- If it is stopped, run `kill -CONT PID`. Otherwise save a stack dump and restart it.

## References
- https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (state)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.contrast import IDLE, idles
from why502.diagnosis.peers import described, is_of_check, views_of
from why502.diagnosis.spinning import spins
from why502.gateways.behaviour import read_limit_s
from why502.model.container import Container
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.proxy import PeerState
from why502.model.remedy import Remedy, Run
from why502.model.request_line import path_of

AT_ONCE = 0.05  # of the limit: too fast for a slow backend, or for one with too many requests at once
MANY = 3
LONG_S = 5.0  # a backend that has not answered by then gives no useful answers


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    is_seen = case.seen(Symptom.READ_TIMED_OUT, Symptom.CLIENT_CLOSED, Symptom.TLS_TIMED_OUT, Symptom.CONNECT_TIMED_OUT)
    owners = {pid for listener in case.listeners or () for pid in listener.pids}
    listening = [p for p in case.processes if p.pid in owners]
    if listening and all(p.is_stopped for p in listening):
        yield supports(
            f"process {listening[0].pid} ({listening[0].name}) is stopped (state T)", f"/proc/{listening[0].pid}/stat", 2 * PROOF
        )
        return
    if (container := containers.paused(case)) and (is_seen or not case.answers_now):
        yield supports(_paused_words(container), container.shows("inspect"), 2 * PROOF)
        return
    if not is_seen:
        return
    was_stuck = stuck_then(case)
    if was_stuck and _is_left_out(case):
        yield supports(f"{was_stuck}, or had more to do than it can: the proxy sends it nothing now", "probe", 0.0)
    elif was_stuck:
        yield supports(was_stuck, "probe", STRONG)
    elif case.answers_now is True:
        yield refutes("it answers now", "probe", STRONG)
    if case.pool and case.pool.answers_ping is not None:
        page, name = f"ping.path of {case.pool.file}", case.pool.name
        if case.pool.answers_ping:
            yield refutes(f"a child of PHP-FPM pool {name} answers its ping", page, FAIR)
        else:
            yield supports(f"PHP-FPM pool {name} has a free child but does not answer its ping", page, FAIR)
    traffic = case.traffic
    if not was_stuck and traffic and traffic.last_success and case.first_failure and traffic.last_success > case.first_failure:
        yield refutes("other requests to it succeeded in the same time", "access log", FAIR)
    if not case.listeners and (held := held_there(case)):
        yield supports(held, "ss -tn state fin-wait-2", LIKELY)
    if idle := holds_all(case):
        yield supports(idle, "ss -tn state close-wait, /proc/PID/stat", STRONG)
    elif still := idles(case):
        yield supports(still, "access log, /proc/PID/stat, ss", STRONG)
    if loop := spins(case):
        yield supports(loop, "/proc/PID/stat, ss -ltnx", LIKELY)
    stuck = unread(case)
    if closed := worked_off(case):
        message = f"it makes progress: it has closed {closed} of the {stuck} connections that the proxy abandoned"
        yield refutes(message, "ss -tn state close-wait", LIKELY)
        stuck = 0
    silent = [p for p in case.probes if p.status is None and not p.first_bytes]
    if any(p.symptom in (Symptom.READ_TIMED_OUT, Symptom.TLS_TIMED_OUT) for p in silent):
        patience = max(p.total_s or 0 for p in silent)
        limit_s = read_limit_s(case.route) if case.route else math.inf
        is_patient = patience >= 3 * min(limit_s, LONG_S) or (limit_s == math.inf and case.last_answered is None)
        is_long = case.route is not None and patience >= LONG_S and is_patient
        message = f"a probe was accepted but got no answer within {patience:.0f} s"
        yield supports(message, "probe", STRONG if is_long else FAIR)
        for proxy, view in views_of(case.here, case.target):
            if view.state is PeerState.DOWN and view.reason:
                yield supports(described(proxy, view), view.source, FAIR)
                break
        if case.unanswered >= MANY:
            yield supports(f"none of {case.unanswered} attempts in the window succeeded", "access log", WEAK)
        if stuck:
            yield supports(f"it still holds {stuck} connections open that the proxy abandoned", "ss -tn state close-wait", FAIR)


def _paused_words(container: Container) -> str:
    return f"{container.shown} is paused: its processes are frozen, and connections to it get no answer"


def stuck_then(case: Case) -> str:
    """Return a message that the same process now quickly answers a request that timed out; "" if it does not, or if that proves
    nothing.
    """
    tally, first = case.tally(Symptom.READ_TIMED_OUT), case.first_failure
    if all(is_of_check(each) for each in case.tallies if each.symptom is Symptom.READ_TIMED_OUT):
        return ""  # no client's request timed out
    if case.route is None or tally is None or tally.count < MANY or first is None or not case.answers_now:
        return ""
    took = max((p.first_byte_s for p in case.probes if p.repeats and p.first_byte_s is not None), default=None)
    limit = read_limit_s(case.route)
    began = [process.started_at for process in case.processes]
    is_same = bool(began) and all(at is not None and at < first for at in began)
    if took is None or not took <= AT_ONCE * limit < math.inf or not is_same:
        return ""
    return (
        f"a request that timed out {tally.count} times is now answered after {took:.2f} s by the same process: it was stuck "
        "for a while"
    )


def _is_left_out(case: Case) -> bool:
    """Return whether a gateway sends the target no requests now, though another server of its group may have too many."""
    states = [view.state for _, view in views_of(case.here, case.target)]
    has_others = case.group is not None and len([peer for peer in case.group.peers if not peer.is_down]) > 1
    return has_others and bool(states) and all(state in (PeerState.DOWN, PeerState.EJECTED) for state in states)


def _answers_nothing(case: Case) -> bool:
    """Return whether requests to several paths time out, and no request has been answered since the first of them."""
    first, answered = case.first_failure, case.last_answered
    paths = {path_of(request) for tally in case.failures for request, _ in tally.requests}
    late = case.tally(Symptom.READ_TIMED_OUT)
    return bool(late and late.count >= MANY and len(paths) > 1 and first and (answered is None or answered < first))


def held_there(case: Case) -> str:
    """Return a message that the process on another host does nothing while its kernel still works; "" otherwise.

    The kernel acknowledges that the proxy closed its connections (FIN-WAIT-2: packets pass in both directions), but the process
    closes none and accepts no new connection.
    """
    kernel = case.here.kernel
    held = (kernel.of(case.target, kernel.connections, "FIN_WAIT2") or 0) if kernel else 0
    if case.is_local or not held or not case.seen(Symptom.CONNECT_TIMED_OUT) or not _answers_nothing(case):
        return ""
    return (
        f"the kernel acknowledges {held} connections that the proxy abandoned, but the process closes none and accepts "
        "no new ones"
    )


def holds_all(case: Case) -> str:
    """Return a message that it accepts every connection, uses no CPU time, and closes and answers none; "" otherwise.

    If connections wait in the accept queue, its workers may only be busy. If it waits for a dependency, that is the reason.
    """
    kernel = case.host.kernel if case.host else None
    if kernel is None or unread(case) < MANY or kernel.of(case.target, kernel.worked_off) != 0 or not _answers_nothing(case):
        return ""
    used = kernel.of(case.target, kernel.backend_cpu)
    if used is None or used > IDLE or any(listener.queued for listener in case.listeners or ()):
        return ""
    if any(peer.waiting or peer.connecting for peer in case.dependencies):
        return ""
    return f"it holds {unread(case)} connections that the proxy abandoned, answers nothing and uses no CPU time"


def unread(case: Case) -> int:
    """Return the number of connections that the backend still holds although the proxy closed them (CLOSE-WAIT)."""
    kernel = case.host.kernel if case.host else None
    return (kernel.of(case.target, kernel.abandoned) or 0) if kernel else 0


def worked_off(case: Case) -> int:
    """Return the number of these that it closed during the observation: a hanging process closes none."""
    kernel = case.host.kernel if case.host else None
    return (kernel.of(case.target, kernel.worked_off) or 0) if kernel else 0


def summarize(case: Case) -> str:
    """Return the finding in one sentence; "" if its headline says it all."""
    container = containers.paused(case)
    return _paused_words(container) if container else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: resume a stopped process, or restart the service of a hanging one."""
    if container := containers.paused(case):
        yield Remedy(message=f"let it go on: `{container.engine} unpause {container.name}`")
        return
    stopped = [p for p in case.processes if p.is_stopped]
    if stopped:
        yield Remedy(
            message=f"resume process {stopped[0].pid}",
            steps=tuple(Run(argv=("kill", "-CONT", str(p.pid)), undo=("kill", "-STOP", str(p.pid))) for p in stopped),
        )
    elif case.service and {"start", "restart"} & set(case.service.start_argv[1:]):
        again = tuple("restart" if word == "start" else word for word in case.service.start_argv)
        yield Remedy(
            message=f"restart {case.service.name} (take a stack dump first if there is time: it shows where it hangs)",
            steps=(Run(argv=again),),
        )


CAUSE = Cause(
    id="backend-hung",
    layer=Layer.UPSTREAM,
    is_fixed_while_ongoing=True,
    message="the backend accepts connections but never answers: stuck, deadlocked or stopped",
    headline="{target} accepts connections but never answers",
    symptoms={Symptom.READ_TIMED_OUT: WEAK, Symptom.TLS_TIMED_OUT: WEAK},
    explains=frozenset(
        {"backend-too-slow", "client-closed-request", "connect-timeout", "tls-handshake-failed", "worker-connections-exhausted"}
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
