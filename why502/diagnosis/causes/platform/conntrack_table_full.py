"""The connection tracking table is full and packets are dropped.

The kernel logs "nf_conntrack: table full, dropping packet". Some new connections time out. Established ones continue to work.

## Do not confuse with
- `connect-timeout`: affects one target, and every attempt.

## Confirm
- Compare `sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max`; see `dmesg | grep conntrack`.

## Fix
- Raise nf_conntrack_max (and the hash size), shorten nf_conntrack_tcp_timeout_time_wait, or exclude local connections (NOTRACK).

## References
- https://docs.kernel.org/networking/nf_conntrack-sysctl.html
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, Evidence, Layer, supports
from why502.model.logs import Symptom
from why502.model.target import Transport


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    hurt = case.seen(Symptom.CONNECT_TIMED_OUT, Symptom.CONNECTION_DIED, Symptom.CONNECT_DENIED, Symptom.READ_TIMED_OUT)
    if not hurt and case.target is not None:
        return
    kernel = case.here.kernel
    if (
        hurt
        and kernel
        and kernel.conntrack_count is not None
        and kernel.conntrack_max
        and kernel.conntrack_count >= 0.98 * kernel.conntrack_max
    ):
        yield supports(
            f"{kernel.conntrack_count} of {kernel.conntrack_max} entries are in use",
            "sysctl net.netfilter.nf_conntrack_count",
            PROOF,
        )
    for tally in case.anywhere(Symptom.CONNTRACK_FULL)[:1]:
        yield supports("the kernel reports that the table is full", tally.source, PROOF)
    for event in [e for snapshot in case.machines for e in snapshot.events or () if e.symptom is Symptom.CONNTRACK_FULL][:1]:
        yield supports(event.message, event.source, PROOF)


CAUSE = Cause(
    id="conntrack-table-full",
    layer=Layer.PLATFORM,
    transport=Transport.TCP,
    message="the connection tracking table is full and packets are dropped",
    headline="new connections to {target} are dropped because the connection tracking table is full",
    symptoms={Symptom.CONNTRACK_FULL: LIKELY},
    needs=frozenset({"kernel"}),
    explains=frozenset({"connect-timeout"}),
    examine=examine,
)
