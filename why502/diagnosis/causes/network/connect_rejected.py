"""A firewall or host actively rejected the connection: REJECT, administratively prohibited, a prohibiting route.

A `REJECT` rule answers with a TCP reset (ECONNREFUSED) or with an ICMP message. "Host prohibited" and "administratively
prohibited" appear as EHOSTUNREACH within a millisecond, "net prohibited" as ENETUNREACH.

## Do not confuse with
- `backend-not-running`: the same ECONNREFUSED, but nothing listens.
- `host-unreachable`: the same EHOSTUNREACH, but after about three seconds (no answer to ARP), or there is no route at all.
- `connect-timeout`: a `DROP` rule sends no answer.

## Confirm
- `ss -ltn` on the target's host shows the listener although connections are refused. `nft list ruleset` or `iptables -S` shows
  the rule.

## Fix
- Allow connections from the proxy's address to the target's port in the rule set that rejects them.

## References
- https://man7.org/linux/man-pages/man7/icmp.7.html
- https://www.netfilter.org/projects/nftables/manpage.html (reject)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.diagnosis import firewall
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import FAIR, PROOF, STRONG, WEAK, Evidence, Layer, refutes, supports
from why502.model.firewall import Verdict
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.target import Target, Transport

AT_ONCE_S = 2.5  # a rejection takes a round trip, or a second SYN if ICMP is rate-limited; a dead neighbour takes 3.06 s

SETTLED = timedelta(seconds=60)  # a restarted process must run that long to count as settled
NEAR = timedelta(seconds=10)  # between the death of a worker and the probe: another may have died since
NO_ROUTE = 113  # EHOSTUNREACH
SOON_S = 0.5  # if the proxy tried in vain just before, the kernel may already have waited most of that time for a dead neighbour


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    target = case.target
    if target is None or target.is_unix:
        return
    probe = case.probe(Symptom.CONNECT_REFUSED, Symptom.HOST_UNREACHABLE, Symptom.CONNECT_DENIED)
    path = case.path
    is_dead = path is not None and path.neighbour in ("FAILED", "INCOMPLETE")  # an earlier attempt may have shortened the wait
    if probe is not None and case.listeners and not _comes_and_goes(case, probe):
        yield supports(f"a process listens on {target}, yet a connection from this machine is rejected", "probe", PROOF)
    yield from firewall.evidence(case, Verdict.REJECT)
    observed = case.tally(Symptom.HOST_UNREACHABLE) or probe
    if case.seen(Symptom.HOST_UNREACHABLE):
        if case.shares_network and (observed is None or observed.errno in (None, NO_ROUTE)):
            yield supports(
                f"{target} is an address of this machine, so no route can be missing: a firewall rule rejects the connection",
                "",
                PROOF,
            )
        elif probe is not None and probe.symptom is Symptom.HOST_UNREACHABLE and probe.total_s is not None:
            is_soon = probe.total_s < (AT_ONCE_S if case.tally(Symptom.HOST_UNREACHABLE) else SOON_S)
            if is_soon and probe.errno == 113 and not is_dead:
                yield supports(f"the rejection came after {probe.total_s * 1000:.0f} ms: something answered", "probe", STRONG)
            elif probe.total_s >= AT_ONCE_S:
                yield refutes(f"the answer took {probe.total_s:.1f} s: nothing answered", "probe", STRONG)
    unreachable = case.tally(Symptom.HOST_UNREACHABLE)
    if case.seen(Symptom.HOST_UNREACHABLE) and not case.shares_network and path is not None:
        if path.route == "prohibit":
            yield supports("this machine's own routing table prohibits that address", f"ip route get {target.host}", PROOF)
        elif path.route == "unicast" and path.neighbour in ("REACHABLE", "STALE", "DELAY", "PERMANENT"):
            yield supports(
                "the next hop answers ARP: a firewall on the path rejects the connection",
                f"ip neigh show {path.gateway or target.host}",
                FAIR,
            )
            if unreachable and unreachable.errno == NO_ROUTE and not path.gateway and case.tally(Symptom.CONNECT_TIMED_OUT):
                message = (
                    f"{target.host} itself answers ARP; it reports the rejection for only some attempts, because the kernel "
                    "rate-limits these messages"
                )
                yield supports(message, "sysctl net.ipv4.icmp_ratelimit", STRONG)
        elif path.route != "unicast" or is_dead:
            yield refutes(f"the path ends at this machine: {path.words}", f"ip route get {target.host}", PROOF)
    if (
        unreachable
        and unreachable.errno == 113
        and unreachable.duration_max_s is not None
        and not case.shares_network
        and not is_dead
    ):
        if unreachable.duration_max_s < AT_ONCE_S:
            yield supports(
                f"the requests failed within {unreachable.duration_max_s:.2f} s: something answered", "access log", WEAK
            )
    for tally in case.anywhere(Symptom.FIREWALL_DROPPED):
        if _is_to(tally.target, target):
            yield supports(f"the kernel logged packets to {tally.target} that a firewall rule blocked", tally.source, STRONG)
            break
    for event in (case.host.events if case.host else None) or ():
        if event.symptom is Symptom.FIREWALL_DROPPED and _is_to(event.target, target):
            yield supports(event.message, event.source, STRONG)
            break
    if path is not None and path.route == "prohibit" and case.seen(Symptom.CONNECT_DENIED):
        yield supports("this machine's own routing table prohibits that address", f"ip route get {target.host}", PROOF)
    elif case.seen(Symptom.CONNECT_DENIED) and any(p.errno == 13 and p.symptom is Symptom.CONNECT_DENIED for p in case.probes):
        yield supports(
            "a connection from this process is rejected too: a prohibiting route or rule, not a profile of the proxy",
            "probe",
            STRONG,
        )


def _is_to(packet: Target | None, target: Target) -> bool:
    """Return whether a blocked packet went to the target. Its port alone does not show that: every machine on a network is
    scanned for the usual ports. A name's address is not in the log.
    """
    return packet is not None and packet.port == target.port and (packet.host == target.host or not target.is_address)


def _comes_and_goes(case: Case, probe: Probe) -> bool:
    """Return whether the listening process was started just now, after the first failure, or ended: it may not have listened
    during the probe. Without a manager that tells of its restarts, it may have been started again and again. Some servers close
    their socket while no worker is left (cluster of Node.js).
    """
    if case.has_left:
        return True
    asked = probe.at or case.here.taken_at
    if any(event.at and abs(asked - event.at) < NEAR for event in case.events(Symptom.PROCESS_CRASHED, Symptom.OOM_KILLED)):
        return True
    ends = case.events(Symptom.PROCESS_CRASHED, Symptom.PROCESS_EXITED, Symptom.OOM_KILLED, Symptom.PROCESS_STARTED)
    if case.services and not ends and not any(service.restarts for service in case.services):
        return False
    born, first = case.born, case.first_failure
    return born is not None and first is not None and born > first and asked - born < SETTLED


def summarize(case: Case) -> str:
    """Return the finding in one sentence; "" if no rule is known to reject."""
    return firewall.describe(case, Verdict.REJECT)


CAUSE = Cause(
    id="connect-rejected",
    layer=Layer.NETWORK,
    transport=Transport.TCP,
    message="a firewall or host actively rejected the connection (REJECT, administratively prohibited)",
    headline="a firewall or the host itself rejects {proxy}'s connections to {target}",
    symptoms={Symptom.HOST_UNREACHABLE: WEAK, Symptom.CONNECT_REFUSED: 0.5, Symptom.CONNECT_DENIED: WEAK},
    needs=frozenset({"listeners"}),
    explains=frozenset({"backend-not-running", "connect-timeout", "host-unreachable"}),
    examine=examine,
    summarize=summarize,
)
