"""Whose a target is: the listeners behind it, and their processes."""

from __future__ import annotations

from why502.case import accepts, targets
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target


def listeners(target: Target, known: Snapshot) -> tuple[Listener, ...]:
    """Return the listening sockets of this machine that take connections to the target."""
    is_here = target.is_unix or target.is_loopback or known.addresses is None or target.host in known.addresses
    return tuple(one for one in known.listeners or () if is_here and accepts(one.target, target, one.only_v6))


def owners(known: Snapshot) -> dict[Target, tuple[int, ...]]:
    """Return, for every target that something on this machine listens on, the processes that hold that socket in order."""
    found = {target: listeners(target, known) for target in targets(known)}
    return {target: tuple(sorted({pid for one in ones for pid in one.pids})) for target, ones in found.items() if ones}
