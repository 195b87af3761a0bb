"""The upstream host name does not resolve.

If the target contains a variable, nginx asks its `resolver` during each request: "could not be resolved (3: Host not found)",
502. Without a variable nginx resolves the name when it loads the configuration: "host not found in upstream". Then it does not
start, or keeps the old configuration.

## Do not confuse with
- `dns-resolver-failure`: the name server itself does not answer.
- `resolver-missing`: no name server is configured.

## Confirm
- `dig NAME @RESOLVER` returns NXDOMAIN, or an answer without addresses. nginx's resolver does not use /etc/hosts or search
  domains.

## Fix
- Correct the name (use the fully qualified one), or add the record. For names in /etc/hosts do not use a variable.

## References
- nginx: src/core/ngx_resolver.c; https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from why502.deployment.files import Deployment, host_name
from why502.deployment.names import is_private_name
from why502.deployment.rule import risk, rule
from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.glued import glued
from why502.diagnosis.targets import addresses
from why502.model.config import Peer
from why502.model.finding import PROOF, WEAK, Evidence, Layer, Risk, Severity, refutes, supports
from why502.model.logs import Symptom
from why502.model.proxy import ConfigTest
from why502.model.snapshot import Lookup, Resolution
from why502.model.target import Target


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if refused := containers.refused_gateway(case):
        message = f"{refused[0].shown} does not start because of it: its configuration needs the name at once"
        yield refutes(message, refused[0].shows("logs"), PROOF)
        return
    for proxy in case.proxies if case.target is None else ():
        for problem in proxy.problems:
            if proxy.test is ConfigTest.FAILED and "host not found in" in problem.message:
                yield supports(f"its own test reports: {problem.message}", str(problem.at or "nginx -t"), 2 * PROOF)
                return
    if found := glued(case):
        yield supports(
            f"the configuration names {found.configured}; a target without its last slash becomes {found.asked}",
            found.source,
            PROOF,
        )
        return
    for name in case.here.names or ():
        is_its = case.target is None or case.target.host == name.name
        if not is_its or not _is_lost(name):
            continue
        message = f"{name.name} does not resolve now ({name.detail or name.outcome})"
        if case.seen(Symptom.NAME_NOT_FOUND):
            yield supports(message, name.source, WEAK)
            return
        if case.failures and all(tally.symptom is Symptom.GATEWAY_STATUS for tally in case.failures):
            yield supports(f"{message}, and its log gives no other reason", name.source, PROOF)
            return
    lost = _lost_members(case)
    if lost:
        names = ", ".join(dict.fromkeys(peer.name for peer in lost))
        yield supports(f"the name of no server that is left in the group resolves: {names}", str(lost[0].at or ""), PROOF)


def _is_lost(name: Resolution) -> bool:
    return name.outcome in (Lookup.NOT_FOUND, Lookup.NO_ADDRESS)


def _lost_members(case: Case) -> list[Peer]:
    """Return the members of the group without any server left, if none of them has an address and none failed otherwise."""
    group = case.empty_group
    if group is None:
        return []
    unknown = {name.name for name in case.here.names or () if _is_lost(name)}
    members = [peer for peer in group.peers if not peer.is_down]
    if not members or not all(peer.target and peer.target.host in unknown for peer in members):
        return []
    failed = {tally.target for tally in (case.here.logs.tallies if case.here.logs else ()) if tally.is_failure}
    return [] if any(address in failed for peer in members for address in (peer.target, *addresses(peer, case.here))) else members


def aim(case: Case) -> Target | None:
    """Return the first member without an address; else the only configured one of the name that a message tells."""
    if lost := _lost_members(case):
        return lost[0].target
    names = {tally.detail for tally in case.tallies if tally.symptom is Symptom.NAME_NOT_FOUND}
    if len(names) > 1:
        return None
    problems = [problem for proxy in case.proxies for problem in proxy.problems if "host not found in" in problem.message]
    peers = {peer.target for proxy in case.proxies for route in proxy.routes for peer in route.peers if peer.target}
    found = {
        target
        for target in peers
        if target.host and (target.host in names or any(f'"{target.host}' in problem.message for problem in problems))
    }
    return found.pop() if len(found) == 1 else None


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if found := glued(case):
        return f"the proxy looks up {found.asked}: the target {found.configured} lacks its last slash, so the path is appended"
    tally = case.tally(Symptom.NAME_NOT_FOUND)
    if tally and tally.detail:
        return f"the backend name {tally.detail} does not resolve"
    lost = aim(case)
    return f"the backend name {lost.host} does not resolve" if lost else ""


_PUBLIC = frozenset(
    {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222", "208.67.220.220"}
)


@rule(21, "public-resolver-for-private-name", Severity.WARNING)
def private_name(deployment: Deployment) -> Iterator[Risk]:
    """A name from a private network is resolved by a public name server only.

    Public servers do not know the names of containers, clusters or companies. Every request gets 502
    (`could not be resolved (3: Host not found)`).
    """
    # Where some values of a variable are groups, the others may belong to servers that only include the same file.
    asking = deployment.routes_with("resolver")
    of_groups = {route.at for route in asking if any(peer.at != route.at for peer in deployment.peers(route))}
    for route in asking:
        if not route.resolver or not {word.partition(":")[0] for word in route.resolver} <= _PUBLIC:
            continue
        if route.has_variables and route.at in of_groups:
            continue
        for peer in deployment.peers(route):
            name = host_name(peer)
            is_asked = route.has_variables and peer.at == route.at
            if name and (is_asked or (peer.resolves and not route.has_variables)) and is_private_name(name):
                message = f"{name} is a private name, but {', '.join(route.resolver)} resolves only public names"
                yield risk(message, route.at, "use the resolver of that network (Docker: 127.0.0.11)")


@rule(22, "group-name-misspelt", Severity.WARNING)
def misspelt_group(deployment: Deployment) -> Iterator[Risk]:
    """A target is neither an upstream group nor a full host name, and a group has a very similar name.

    nginx treats it as a host name, and does not start if it does not resolve (`host not found in upstream`). A container or a
    hosts file may have that name.
    """
    if not deployment.is_whole:
        return
    for route, peer, name in deployment.named_peers:
        if "." in name or ":" in peer.name or name == "localhost" or name in deployment.groups_in_vain:
            continue
        level = deployment.level(route)
        if route.upstream or route.has_variables or level is None or not level.is_known:
            continue
        for group in difflib.get_close_matches(name, deployment.groups, 1, 0.85):
            yield risk(f'"{peer.name}" is not an upstream group; there is "{group}"', route.at, f"write {group}")


CAUSE = Cause(
    id="dns-host-not-found",
    layer=Layer.PROXY,
    message="the upstream host name does not resolve",
    symptoms={Symptom.NAME_NOT_FOUND: 5.0},
    explains=frozenset({"all-upstreams-down", "proxy-config-invalid", "proxy-not-running"}),
    examine=examine,
    summarize=summarize,
    aim=aim,
    foresee=(
        private_name,
        misspelt_group,
    ),
)
