"""No answer to the connection attempt: packets dropped by a firewall, host down, wrong route.

nginx answers 504 when its own proxy_connect_timeout expires, and 502 when the kernel gives up first. The default of 60 s hides a
dead peer. A few seconds are enough inside one network.

## Do not confuse with
- `listen-backlog-overflow`: the listener exists, but its queue is full and the kernel drops the SYN.
- `backend-too-slow`: the connection is established, but the response is late ("while reading response header").
- `connect-rejected`, `host-unreachable`: a host or firewall did answer.

## Confirm
- `nc -vz -w 3 HOST PORT` from the proxy's host; `tcpdump -ni any port PORT` shows SYN packets without an answer.

## Fix
- Open the port in the firewall or security group between the two hosts, or start the target host.

## References
- nginx: src/http/ngx_http_upstream.c (one timer for connect and TLS handshake)
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis import firewall
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.confined import cut_off
from why502.gateways.nginx.config import units
from why502.model.finding import FAIR, LIKELY, PROOF, STRONG, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.firewall import Verdict
from why502.model.logs import Symptom
from why502.model.target import Transport

_DROPPED_HERE = "the listener is on this machine, and the kernel has not dropped one connection because of a full accept queue"


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if not case.seen(*CAUSE.symptoms):
        return
    path = case.path
    if path is not None and path.neighbour in ("FAILED", "INCOMPLETE") and case.tally(Symptom.CONNECT_TIMED_OUT):
        yield supports(
            f"{path.words}: that host is down, or has another address", f"ip neigh show {path.gateway or path.address}"
        )
    if case.answers_now is True and case.last_failure is not None:
        yield refutes("the target accepts connections now", "probe", WEAK)
    if message := _dropped_between(case):
        yield supports(message, "ss -ltn", STRONG)
    elif case.has_never_overflowed and case.listeners:
        yield supports(_DROPPED_HERE, "nstat TcpExtListenOverflows", FAIR)
    yield from firewall.evidence(case, Verdict.DROP)
    if confined := cut_off(case):
        yield supports(confined, "systemctl show", PROOF)
    for listener in case.listeners or ():
        if listener.queued is not None and listener.backlog is not None and listener.queued > listener.backlog:
            yield refutes(
                f"the accept queue of {listener.target} is full: the SYN is dropped there, not on the network path",
                "ss -ltn",
                PROOF,
            )


def _dropped_between(case: Case) -> str:
    """Return a message that a connection between two network namespaces of the machine is dropped on its way; "" if not.

    A listener with room in its queue would have accepted it.
    """
    listener = next((one for one in case.listeners or () if (one.queued or 0) <= (one.backlog or 0)), None)
    if listener is None or case.home is None or case.shares_network or case.probe(Symptom.CONNECT_TIMED_OUT) is None:
        return ""
    process = case.process_of(listener)
    where = "" if process and process.container_name else f" on {case.joins.homes.name(case.home)}"
    front = case.joins.homes.name(case.network)
    return f"{case.name_of(listener)} listens on {listener.target}{where}, and no connection from {front} reaches it"


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    message = _dropped_between(case)
    if message:
        return f"connections to {case.target} are dropped on their way, as a firewall does: {message}"
    if rule := firewall.describe(case, Verdict.DROP):
        return rule
    if confined := cut_off(case):
        return f"connections to {case.target} are dropped by a setting of its own unit: {confined}"
    if case.loses_connections and case.listeners:
        return f"connections to {case.target} were dropped on this machine, as a firewall rule does: {_DROPPED_HERE}"
    return ""


_CONNECT = tuple(f"{module}_connect_timeout" for module in ("proxy", "fastcgi", "uwsgi", "scgi", "grpc", "memcached"))


@rule(85, "connect-timeout-too-long", Severity.NOTE)
def too_long(deployment: Deployment) -> Iterator[Risk]:
    """The connect timeout is longer than a connection attempt can last.

    According to nginx's documentation the timeout cannot usually exceed 75 s. A peer that does not answer within a few seconds is
    down. A long timeout hides that and keeps the client and the worker waiting.
    """
    seen = set()
    for _, directive in deployment.uses(*_CONNECT):
        seconds = units.time(directive.args[0]) if directive.args else None
        if seconds and seconds > 75 and directive.at not in seen:
            seen.add(directive.at)
            yield risk(
                f"{directive.name} {directive.args[0]} exceeds the possible 75 s",
                directive.at,
                "use 1s to 5s inside one network",
            )


CAUSE = Cause(
    id="connect-timeout",
    layer=Layer.NETWORK,
    transport=Transport.TCP,
    message="no answer to the connection attempt: packets dropped by a firewall, host down, wrong route",
    headline="{proxy} gets no answer to its connection attempts to {target}: packets are dropped on the path, "
    "or the host is down",
    symptoms={Symptom.CONNECT_TIMED_OUT: LIKELY, Symptom.TLS_TIMED_OUT: WEAK},
    explains=frozenset({"client-closed-request"}),
    examine=examine,
    summarize=summarize,
    foresee=(too_long,),
)
