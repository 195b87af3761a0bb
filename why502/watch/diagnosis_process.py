"""One diagnosis of this machine, in a process of its own: it may hang or grow, and then it is ended.

The order comes on standard input, the result goes to standard output; both are JSON.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import msgspec

from why502.bundle import redacted, save
from why502.diagnosis.engine import diagnose
from why502.host.local import LocalHost
from why502.model.base import Value, decode, encode
from why502.model.errors import Why502Error
from why502.model.finding import Diagnosis
from why502.session.looking import Machine, Scope, look
from why502.watch import ledger, proposing, topology
from why502.watch.model import Change, Proposal
from why502.watch.state.values import TargetsChanged

MOST_BUNDLE_BYTES = 2 << 20


class Order(Value, frozen=True, kw_only=True):
    """What to look at."""

    window_s: float = 900.0
    configs: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    is_probing: bool = True


class Looked(Value, frozen=True, kw_only=True):
    """What was seen, without secrets. `reason`: why there is no diagnosis. `bundle` is empty if it would be too large."""

    diagnosis: Diagnosis | None = None
    reason: str = ""
    bundle: bytes = b""
    configured: TargetsChanged = TargetsChanged()
    roots: dict[str, str] = {}
    own_network: str = ""
    proposals: dict[str, Proposal] = {}
    changes: tuple[Change, ...] = ()


def looked(order: Order, machine: Machine, now: datetime) -> Looked:
    """Return the diagnosis of a machine with all that the daemon wants to know beside it."""
    scope = Scope(
        now=now,
        begin=now - timedelta(seconds=order.window_s),
        end=now,
        configs=order.configs,
        logs=order.logs,
        is_probing=order.is_probing,
    )
    try:
        snapshot = look(scope, machine)[0]
    except Why502Error as error:
        return Looked(reason=error.message)
    bundle = save(snapshot)
    kept = redacted(snapshot)
    diagnosis = diagnose(kept)  # what `why502 diagnose --bundle` says of the bundle
    return Looked(
        diagnosis=diagnosis,
        bundle=bundle if len(bundle) <= MOST_BUNDLE_BYTES else b"",
        configured=topology.configured(kept),
        roots=topology.roots(kept, diagnosis),
        own_network=topology.own_network(kept),
        proposals=proposing.proposals(diagnose(snapshot), snapshot, machine.of(snapshot)),
        changes=ledger.changes_in(kept),
    )


def main() -> None:
    """Read the order, write the result."""
    order = decode(sys.stdin.buffer.read(), Order, "order")
    machine = Machine(host=LocalHost, stdin=lambda: sys.stdin.buffer)
    sys.stdout.buffer.write(encode(looked(order, machine, datetime.now(UTC))))


def result_of(data: bytes) -> Looked:
    """Return what the process wrote. Raises Why502Error."""
    return decode(data, Looked, "the diagnosis")


def order_of(order: Order) -> bytes:
    """Return an order as the process reads it."""
    return msgspec.json.encode(order)
