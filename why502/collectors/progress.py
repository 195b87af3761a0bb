"""Whether a backend makes progress: it closes the connections that the proxy abandoned, one after the other.

A hung backend closes none of them. A multi-threaded server accepts every connection at once, so the kernel's queue stays empty
and shows nothing. The result is the existing kernel section with `worked_off` added.
"""

from __future__ import annotations

import time
from functools import partial

import msgspec

from why502.collectors import kernel
from why502.collectors.base import CollectOptions, Found
from why502.collectors.owners import owners
from why502.diagnosis.listening import frozen
from why502.host.base import Host
from why502.machine import sockets
from why502.machine.attempt import attempt
from why502.model.snapshot import Kernel, Snapshot
from why502.model.target import Target

SECTION = "kernel"
NEEDS = ("dependencies",)
PATIENCE_S = 5.0  # in parallel with the probes, which wait as long for a silent target
LIMIT_S = PATIENCE_S + 1.0
_EVERY_S = 0.5


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[Kernel]:
    """Return the kernel section with the closed connections; unchanged if none was abandoned, or if probing is not allowed."""
    stopped = frozenset(frozen(known))  # these close nothing
    kernel = known.kernel
    wanted = [target for target in owners(known) if kernel and kernel.of(target, kernel.abandoned) and target not in stopped]
    if kernel is None or not wanted or not options.probes:
        return Found(None)
    until, closed = time.monotonic() + PATIENCE_S, dict.fromkeys(wanted, 0)
    before = _given_up(host, known, wanted)
    while not all(closed.values()) and time.monotonic() < until:
        time.sleep(_EVERY_S)
        now = _given_up(host, known, wanted)
        closed = {target: max(closed[target], len(before[target] - now[target])) for target in closed}
    return Found(msgspec.structs.replace(kernel, worked_off=Kernel.by_name(closed)))


def _given_up(host: Host, known: Snapshot, wanted: list[Target]) -> dict[Target, set[bytes]]:
    """Return by target the other ends of connections that are closed on the proxy's side."""
    _, directories = kernel.tables_of(known)
    tables = [found for directory in directories if (found := attempt(partial(sockets.read_tcp, host, directory)))]
    rows = [row for table, _ in tables for row in table if row.state == sockets.CLOSE_WAIT]
    return {target: {row.remote for row in filter(sockets.ends_at(target), rows)} for target in wanted}
