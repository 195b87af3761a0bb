"""Limits that will be reached, and this machine's own network: incidents that open before, or instead of, failed requests."""

from __future__ import annotations

from why502.watch.model import Blindness, Limit, LimitKind, Severity
from why502.watch.state.families import Family
from why502.watch.state.self_watch import alert, end
from why502.watch.state.turn import Turn
from why502.watch.state.values import SignalKey

QUIET_S = 300.0  # for this long no sample may say so any more
RARE_S = 1500.0  # of what is sampled every ten minutes
NAMES = {
    LimitKind.MEMORY: "memory",
    LimitKind.DESCRIPTORS: "open files",
    LimitKind.CONNTRACK: "connection tracking table",
    LimitKind.PORTS: "local ports towards",
    LimitKind.WORKER_CONNECTIONS: "worker_connections",
    LimitKind.FPM_CHILDREN: "children",
    LimitKind.LISTEN_QUEUE: "accept queue",
    LimitKind.DISK: "disk space",
    LimitKind.SHARED_MEMORY: "shared memory",
    LimitKind.CERTIFICATE: "certificate",
}
SYMPTOMS = {LimitKind.LISTEN_QUEUE: "queue-fills", LimitKind.CERTIFICATE: "certificate-ends"}
SOON = "limit-soon"
_NETWORK = SignalKey("", "network of this machine", Family.NETWORK)


def limit(turn: Turn, found: Limit) -> None:
    """Open an incident for a limit whose forecast somebody should know, or note that it goes on."""
    if found.severity is None:
        return
    key = SignalKey("", f"{NAMES[found.kind]} {found.subject}", Family.LIMIT)
    targets = _concerned(turn, found)
    failing = [each for each in turn.state.open if {*targets} & {*each.incident.targets}]
    if any(key not in each.signals for each in failing):  # its requests fail already
        return
    alert(turn, key, SYMPTOMS.get(found.kind, SOON), _words(found), found.severity, concerns=targets)


def _concerned(turn: Turn, found: Limit) -> tuple[str, ...]:
    """Return the targets that a limit is about: that address itself, or those that the unit serves."""
    if found.kind is LimitKind.CERTIFICATE:
        return ()
    configured = {target for each in turn.state.served for target in each.targets}
    unit = found.subject.partition(" ")[0]  # "php8.2-fpm.service pool www"
    served = [target for target, scope in turn.state.scopes.items() if unit in scope.units]
    return tuple(sorted({*served, *({found.subject} & configured)}))


def blindness(turn: Turn, found: Blindness) -> None:
    """Open the one incident of this machine's network, or close it."""
    if found.reason:
        alert(turn, _NETWORK, "own-network", f"this machine's own network fails: {found.reason}", Severity.PAGE)
    else:
        end(turn, _NETWORK, "a member on another machine answers again")


def each_minute(turn: Turn) -> None:
    """Close the incidents of limits that no forecast names any more."""
    for key, signal in list(turn.state.signals.items()):
        if key.family is Family.LIMIT:
            is_rare = key.subject.startswith(NAMES[LimitKind.CERTIFICATE])
            if turn.monotonic_s - signal.last_s >= (RARE_S if is_rare else QUIET_S):
                end(turn, key, "it is no longer expected to be reached")


def _words(found: Limit) -> str:
    """Return what will happen, in a sentence without a number that changes with each sample."""
    name = f"{NAMES[found.kind]} {found.subject}"
    if found.kind is LimitKind.CERTIFICATE:
        return f"{name} expires on {found.exhausted_at:%Y-%m-%d %H:%M} UTC" if found.exhausted_at else f"{name} expires soon"
    if found.kind is not LimitKind.LISTEN_QUEUE and not found.exhausted_at:
        return f"{name} is nearly full: {found.ratio:.0%} of {found.limit:,.0f} used; {found.reason}"
    when = f" about {found.exhausted_at:%H:%M} UTC" if found.exhausted_at else " soon"
    if found.exhausted_at and (found.exhausted_at - found.at).days:
        when = f" on {found.exhausted_at:%Y-%m-%d}"
    return f"{name} will be full{when}: {found.ratio:.0%} of {found.limit:,.0f} used; {found.reason}"
