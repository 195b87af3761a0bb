"""No route to the host or network.

connect() fails with EHOSTUNREACH (no answer to ARP, or a router reports it) or ENETUNREACH (no route in the proxy's own routing
table). nginx answers 502.

## Do not confuse with
- `connect-rejected`: a firewall's rejection causes the same error, but immediately.
- `stale-dns`: the address belonged to a host or container that is gone.

## Confirm
- `ip route get ADDRESS` shows the route; `ip neigh show ADDRESS` shows FAILED or INCOMPLETE.

## Fix
- Add the missing route, bring up the host or the interface, or correct the backend's address.

## References
- https://man7.org/linux/man-pages/man2/connect.2.html (EHOSTUNREACH, ENETUNREACH)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.target import Transport

NO_ROUTE = 113  # EHOSTUNREACH


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.lacks_family and (lost := case.tally(Symptom.NO_LOCAL_PORT, Symptom.HOST_UNREACHABLE)):
        yield supports("the target is an IPv6 address, and this machine has no IPv6 address at all", "ip -6 addr", 2 * PROOF)
        yield supports("the kernel finds no address to connect from", lost.source, WEAK)
    path = case.path
    # The proxy may give up before the kernel: a timeout.
    is_observed = case.tally(*CAUSE.symptoms) is not None or not case.failures
    if path is not None and not case.shares_network and is_observed and case.seen(*CAUSE.symptoms):
        if path.route in ("unreachable", "none", "blackhole") or path.neighbour in ("FAILED", "INCOMPLETE"):
            where = f"ip route get {case.target.host}" if case.target else ""
            yield supports(path.words, where, STRONG)
    probe = case.probe(Symptom.HOST_UNREACHABLE)
    if probe is not None and probe.errno == 101:
        yield supports("this machine itself has no route to it", "probe", STRONG)
    seen = case.tally(Symptom.HOST_UNREACHABLE) or probe
    if case.shares_network and case.target is not None and seen is not None and seen.errno in (None, NO_ROUTE):
        yield refutes(f"{case.target} is an address of this machine", "", PROOF)


@rule(26, "resolver-asks-for-ipv6", Severity.NOTE)
def asks_for_ipv6(deployment: Deployment) -> Iterator[Risk]:
    """The resolver returns IPv6 addresses although nothing here listens or resolves on IPv6.

    On a machine without IPv6 each such address costs a failed attempt (`Network is unreachable`). If only such addresses are
    left, the client gets 502.
    """
    is_used = any(route.has_variables and route.resolver for route in deployment.routes)
    if not is_used or not deployment.is_whole or any("[" in listen for server in deployment.servers for listen in server.listens):
        return
    for _, directive in deployment.uses("resolver"):
        addresses = [word for word in directive.args if "=" not in word]
        if addresses and not any("[" in word for word in addresses) and "ipv6=off" not in directive.args:
            yield risk("the resolver also returns IPv6 addresses, but nothing here uses IPv6", directive.at, "add `ipv6=off`")


CAUSE = Cause(
    id="host-unreachable",
    layer=Layer.NETWORK,
    transport=Transport.TCP,
    message="no route to the host or network",
    headline="no route leads to {target}",
    symptoms={Symptom.HOST_UNREACHABLE: LIKELY, Symptom.CONNECT_FAILED: WEAK},
    examine=examine,
    foresee=(asks_for_ipv6,),
)
