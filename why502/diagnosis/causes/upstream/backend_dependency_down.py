"""A dependency of the application refuses connections or fails: its database, cache, queue or another service.

The application runs and accepts requests. It answers with its own error (500, 503), or waits for a connection to the dependency
until the proxy gives up. Restarting the application does not help.

## Do not confuse with
- `backend-dependency-slow`: the dependency runs but answers late.
- `workers-exhausted`, `backend-hung`: the same symptoms from the proxy's view, while every worker waits for the same peer.
- `backend-startup-failure`: the application does not start without the dependency.

## Confirm
- The application's log names the dependency: "connection to server at "127.0.0.1", port 5432 failed: Connection refused".
- `ss -tnp state syn-sent` shows workers that wait to be connected. `systemctl status` of the dependency shows inactive or failed.

## Fix
- Start the dependency, or correct what blocks access to it: its port, its connection limit, its name.
- Give the application a connect timeout of a few seconds, so that one missing dependency does not block every worker.

## References
- https://man7.org/linux/man-pages/man2/connect.2.html
- https://www.postgresql.org/docs/current/server-start.html#CLIENT-CONNECTION-PROBLEMS
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.waiting import ERRORS, LATE, called, heard_of, is_hurt, is_late, name_of, refusals, said
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, supports
from why502.model.snapshot import Dependency

BEFORE, CLOCK = timedelta(seconds=60), timedelta(seconds=2)
SHARE = 0.5  # of the busy workers that must wait for the same peer


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not is_hurt(case):
        return
    own = [(need, event) for need, event in said(case) if need.is_down]
    if own:
        need, event = own[-1]
        times = sum(each.count for _, each in own)
        often = f", {times} times" if times > 1 else ""
        yield supports(
            f"the application reports about {called(case, need)}: {event.detail or event.message}{often}", event.source, LIKELY
        )
        peer = heard_of(case, need)
        if peer is not None and peer.is_heard is False:
            yield supports(f"nothing listens on {peer.peer}{_unit(peer)}", "ss -ltnx", STRONG)
        elif refusals(case, own):
            yield supports(
                "the number of requests that failed with its own error matches the number of reports", event.source, FAIR
            )
    for peer in _gone(case) if not own else ():
        message = f"its variable {peer.named_by} names {name_of(peer)}, where nothing listens"
        yield supports(f"{message}{_instead(peer)}{_unit(peer)}", "ss -ltnx", LIKELY)
        if when := _went(case, peer):
            yield supports(f"{peer.unit} ended at {when}, when the failures began", "systemctl show", STRONG)
    for peer in _ended(case) if not own else ():
        yield supports(f"{_end(case, peer)}, and nothing listens on {peer.peer}", "systemctl show, ss -ltnx", LIKELY)
    for peer in _silent(case):
        who = "the one worker waits" if peer.connecting == 1 else f"{peer.connecting} workers wait"
        yield supports(
            f"{who} to be connected to {name_of(peer)}, which does not answer (SYN_SENT)", "ss -tnp state syn-sent", PROOF
        )
    for peer in _deaf(case):
        count = "one connection" if peer.unacknowledged == 1 else f"{peer.unacknowledged} connections"
        message = f"{count} to {name_of(peer)} have unacknowledged data, which is being retransmitted"
        yield supports(message, "ss -tno", PROOF)
    for peer in _stopped(case):
        yield supports(
            f"{peer.process} (pid {peer.pid}) on {name_of(peer)} is stopped (state T)", f"/proc/{peer.pid}/stat", PROOF
        )
        if peer.waiting:
            yield supports(f"{peer.waiting} of its workers wait for an answer from it", "/proc/PID/syscall", WEAK)


def _gone(case: Case) -> list[Dependency]:
    """Return the dependency that its environment variables name but nothing serves, if it is known to have failed;
    unused settings do not count.
    """
    return [
        x
        for x in case.dependencies
        if x.named_by and x.is_heard is False and (x.elsewhere or x.unit_state in ("inactive", "failed"))
    ]


def _ended(case: Case) -> list[Dependency]:
    """Return the dependency that stopped or moved just before requests began to fail with an application error
    that names no dependency.
    """
    if not case.tally(*ERRORS, *LATE):
        return []
    return [x for x in case.dependencies if not x.named_by and x.is_heard is False and _went(case, x) and (x.unit or x.elsewhere)]


def _end(case: Case, peer: Dependency) -> str:
    """Return the event that the dependency had when the failures began."""
    what = (
        f"{peer.unit or peer.process} was restarted, listening on {peer.elsewhere}," if peer.elsewhere else f"{peer.unit} ended"
    )
    return f"{what} at {_went(case, peer)}, when the failures began"


def _instead(peer: Dependency) -> str:
    return f" ({peer.elsewhere} has a listener instead)" if peer.elsewhere else ""


def _went(case: Case, peer: Dependency) -> str:
    """Return when its unit stopped, if that was just before the first failure."""
    first = case.first_failure
    is_near = peer.unit_since and first and first - BEFORE <= peer.unit_since <= first + CLOCK
    return f"{peer.unit_since:%H:%M:%S}" if is_near and peer.unit_since else ""


def _silent(case: Case) -> list[Dependency]:
    return [x for x in case.dependencies if x.connecting and x.connecting >= SHARE * x.busy]


def _deaf(case: Case) -> list[Dependency]:
    """Return the peer that does not acknowledge the application's packets while requests wait: network, firewall or dead host."""
    return [x for x in case.dependencies if x.unacknowledged] if is_late(case) else []


def _stopped(case: Case) -> list[Dependency]:
    return [x for x in case.dependencies if x.is_stopped and (x.waiting >= SHARE * max(x.busy, 1) or x.connecting)]


def _unit(peer: Dependency) -> str:
    return (
        f", and systemd reports that {peer.unit} is {peer.unit_state}"
        if peer.unit and peer.unit_state not in ("", "active")
        else ""
    )


def tell(case: Case) -> str:
    """Return the finding in one sentence."""
    own = [need for need, _ in said(case) if need.is_down]
    if own:
        peer = heard_of(case, own[-1])
        return f"the application on {case.target} needs {called(case, own[-1])}, which {own[-1].how}{_unit(peer) if peer else ''}"
    for peer in _gone(case):
        return f"the application on {case.target} needs {name_of(peer)}, where nothing listens{_instead(peer)}{_unit(peer)}"
    for peer in _ended(case):
        return f"the application on {case.target} seems to need {name_of(peer)}: {_end(case, peer)}"
    for peer in _stopped(case):
        return (
            f"the application on {case.target} waits for {name_of(peer)}, whose process {peer.process} (pid {peer.pid}) "
            "is stopped"
        )
    for peer in _deaf(case):
        return f"the application on {case.target} needs {name_of(peer)}, which does not acknowledge data"
    for peer in _silent(case):
        return f"the application on {case.target} needs {name_of(peer)}, which does not answer connection attempts"
    return ""


CAUSE = Cause(
    id="backend-dependency-down",
    layer=Layer.UPSTREAM,
    message="a dependency of the application refuses connections or fails: its database, cache, queue or another service",
    headline="a dependency of the application on {target} refuses connections or fails",
    outranks=frozenset(
        {
            "connection-reset",
            "premature-close",
            "application-error",
            "backend-dependency-slow",
            "backend-hung",
            "backend-too-slow",
            "client-closed-request",
            "invalid-response",
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
