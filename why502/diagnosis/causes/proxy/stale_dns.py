"""The name was resolved when the configuration was loaded, and now points to another address.

nginx resolves a name without a variable once, when it loads its configuration. Containers and cloud balancers change their
addresses. The old address refuses connections, does not answer, is unreachable, or now belongs to another host.

## Do not confuse with
- `stale-endpoint`: service discovery or a controller lags behind.
- `backend-not-running`: the name still points to that address.

## Confirm
- Compare `getent ahosts NAME` with the address in the log line.

## Fix
- Immediate fix: reload. Permanent fix: have the proxy resolve the name again and again.
- nginx: `server NAME resolve;` with a `zone` and a `resolver` (open source since 1.27.3), or a variable and a `resolver`.

## References
- https://nginx.org/en/docs/http/ngx_http_upstream_module.html#resolve
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from why502.deployment.files import Deployment, host_name, peers_of
from why502.deployment.rule import risk, rule
from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.behaviour import behaviour
from why502.model.finding import PROOF, STRONG, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.model.snapshot import Lookup
from why502.model.target import Transport
from why502.remedies.changes import reload


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    target = case.target
    if target is None or target.is_unix or not case.failures:
        return
    if not target.is_address:
        if message := _looked_up_before(case):
            yield supports(message, "inspect", 2 * PROOF)
        return
    if target in case.joins.configured:
        return
    if message := _made_anew(case):
        is_known = any(case.resolutions(name) for name in containers.names_of(case))  # a hosts file may lead elsewhere, for good
        yield supports(message, "inspect", 2 * PROOF if is_known else STRONG)
        return
    for name in case.joins.names_at_start:
        if (name.port and name.port != target.port) or _begins_again(case, name.host):
            continue
        found = [x for x in case.resolutions(name.host) if x.outcome is Lookup.OK and not x.is_resolver]
        known = {address for x in found for address in x.addresses}
        if found and known and target.host not in known:
            yield supports(
                f"{name.host} now resolves to {', '.join(sorted(known))}; the proxy still connects to {target.host}",
                f"getent ahosts {name.host}",
                2 * PROOF,
            )
            return


def _looked_up_before(case: Case) -> str:
    """Return why a name means another address than the one that a proxy, whose log gives only the name, fails to connect to: its
    container began after the proxy, takes connections from there, and the proxy still fails; else "".
    """
    found, target, last = containers.since_proxy(case), case.target, case.last_failure
    if found is None or target is None or last is None or not case.tally(*containers.NO_CONNECTION):
        return ""
    name, container = found
    began = container.started_at
    fails_now = any(probe.through_proxy and not probe.is_answer for probe in case.here.probes or ())
    if began is None or not (last >= began + SETTLED or fails_now) or not containers.serves(container, target.port):
        return ""
    address = next(
        (
            probe.target.host
            for probe in case.here.probes or ()
            if probe.is_answer and probe.target and probe.target.host in container.addresses
        ),
        "",
    )
    if not address:
        return ""
    return (
        f"{name} is {container.shown}, which was started at {began:%H:%M:%S}, after the proxy had looked the name up; its "
        f"address {address} answers a probe, and the proxy cannot connect: it still has an old address"
    )


def _begins_again(case: Case, name: str) -> bool:
    """Return whether the container of a name is started again and again: it has a new address each time, and never serves."""
    return any(one.is_down and one.restarts for one in containers.called(case, name))


def _made_anew(case: Case) -> str:
    """Return why a container that the proxy's configuration names has another address now, and whose the old one is; else ""."""
    target, own = case.target, containers.proxy_container(case)
    if target is None or own is None:
        return ""
    at_start = {name.host for name in case.joins.names_at_start}
    for name in (name for name in containers.names_of(case) if name in at_start):
        found = [one for one in containers.called(case, name) if one.is_running and containers.shared(one, own)]
        if not found or any(target.host in one.addresses for one in found) or not found[0].listens:
            continue
        if not any({*look.addresses} & found[0].addresses for look in case.resolutions(name)) and case.resolutions(name):
            return ""  # it does not resolve to the container now either
        holder = containers.at(case, target.host)
        place = containers.shared(found[0], own)[0]
        whose = f"belongs to {holder.shown} now" if holder else "belongs to no container now"
        return f"{name} is {found[0].shown} with {place.address}; the proxy still connects to {target.host}, which {whose}"
    return ""


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    if case.target and not case.target.is_address:
        return _looked_up_before(case)
    return _made_anew(case) if case.target and case.failures and case.target not in case.joins.configured else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedies: reload, so that the names are resolved again."""
    if steps := reload(case.proxies[0] if case.proxies else None):
        yield Remedy(message="reload the proxy: it resolves its names again", steps=steps, safe=True)
    lives = {name.host: _lives_s(case, name.host) for name in case.joins.names_at_start}
    short = min((name for name, ttl_s in lives.items() if ttl_s is not None and ttl_s <= SHORT_S), default=None)
    if short is not None:
        how = (
            " (`resolve`, or a variable and a `resolver`)"
            if all(behaviour(proxy.kind).takes_directives for proxy in case.proxies)
            else ""
        )
        message = f"have the name resolved periodically{how}: answers for {short} are valid for only {lives[short]:g} s"
        yield Remedy(message=message)


def _lives_s(case: Case, name: str) -> float | None:
    """Return how many seconds the answers for a name are valid (TTL); None if no name server returned it."""
    return min((found.ttl_s for found in case.resolutions(name) if found.ttl_s is not None), default=None)


SETTLED = timedelta(seconds=1)  # log times are whole seconds
SHORT_S = 300.0  # a TTL up to this means that the address is expected to change
_CHANGING = lazy(
    r"\.(?:amazonaws\.com(?:\.cn)?|elb\.\w[\w.-]{0,200}|cloudfront\.net|azurewebsites\.net|azurecontainer\.io|azure-api\.net|cloudapp\.\w[\w.]{0,200}"
    r"|herokuapp\.com|herokudns\.com|run\.app|appspot\.com|fly\.dev|vercel\.app|netlify\.app|onrender\.com|ngrok\.io|duckdns\.org|dyndns\.org)$"
)
_FIXED = lazy(r"(?:^|\.)localhost$|\.svc(?:\.|$)|^host\.docker\.internal$")


@rule(23, "name-resolved-once", Severity.NOTE)
def resolved_once(deployment: Deployment) -> Iterator[Risk]:
    """A host name is resolved only when the configuration is loaded.

    When its address changes (a restarted container, a cloud balancer), nginx keeps sending to the old one until a reload. If the
    name does not resolve at a start, nginx does not start.
    """
    way = (
        "`server NAME resolve;` with `zone` and `resolver`"
        if deployment.since(1, 27, 3)
        else "a variable in the target, with `resolver … valid=30s`"
    )
    seen = set()
    for route, peer, name in deployment.named_peers:
        if route.has_variables and not route.upstream:
            continue
        is_group = peer.at != route.at
        if name in seen or (is_group and peer.resolves) or _FIXED.search(name) or peer.is_down:
            continue
        if not deployment.is_whole and not is_group and "." not in name and ":" not in peer.name:
            continue  # possibly a group that is defined elsewhere
        seen.add(name)
        is_changing = _CHANGING.search(name) is not None
        message = f"{name} is resolved only when the configuration is loaded" + (
            ", and its addresses change" if is_changing else ""
        )
        yield risk(message, peer.at, f"if the address can change: {way}", severity=Severity.WARNING if is_changing else None)


@rule(24, "variable-not-resolved-again", Severity.WARNING)
def not_resolved_again(deployment: Deployment) -> Iterator[Risk]:
    """A variable is used so that a name is resolved periodically, but another pass directive contains the same name without a
    variable.

    nginx then uses the addresses of that one, resolved when the configuration was loaded, for both.
    """
    fixed = {
        (name, peer.target.port): peer.at
        for route, peer, name in deployment.named_peers
        if not route.has_variables and peer.target and peer.at == route.at and name not in deployment.groups_in_vain
        if deployment.is_whole or "." in name or ":" in peer.name  # otherwise it may be a group that is defined elsewhere
    }
    for route in deployment.routes if fixed else ():
        if "resolver" not in route.settings and route.uri is not None and "$" not in route.passes.removesuffix(route.uri):
            continue  # the variable is for the path: without the other directive nginx could not resolve the name at all
        for peer in deployment.peers(route) if route.has_variables else ():
            if peer.at == route.at and peer.target and (at := fixed.get((host_name(peer), peer.target.port))):
                message = f"{peer.name} is not resolved again here: {at} names it without a variable"
                yield risk(message, route.at, "use the variable in both places")


@rule(25, "docker-resolver-without-valid", Severity.NOTE)
def docker_without_valid(deployment: Deployment) -> Iterator[Risk]:
    """Answers of Docker's name server are cached for ten minutes.

    Its answers have a TTL of 600 s. If a container restarts with another address, nginx does not find it for that long.
    """
    is_used = any(route.has_variables for route in deployment.routes) or any(
        peer.resolves for peer in peers_of(deployment.routes)
    )
    for _, directive in deployment.uses("resolver") if is_used else ():
        words = directive.args
        if any(word.partition(":")[0] == "127.0.0.11" for word in words) and not any(w.startswith("valid=") for w in words):
            yield risk("resolver 127.0.0.11 without valid=: answers are kept for 600 s", directive.at, "add `valid=10s`")


CAUSE = Cause(
    id="stale-dns",
    layer=Layer.PROXY,
    transport=Transport.TCP,
    is_fixed_while_ongoing=True,
    message="the name was resolved when the configuration was loaded, and now points to another address",
    headline="{proxy} still connects to an old address, {target}",
    symptoms={Symptom.CONNECT_REFUSED: 0.5, Symptom.CONNECT_TIMED_OUT: 0.5, Symptom.HOST_UNREACHABLE: 0.5},
    needs=frozenset({"names"}),
    explains=frozenset(
        {"backend-not-running", "connect-rejected", "connect-timeout", "host-unreachable", "wrong-address", "wrong-port"}
    ),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
    foresee=(
        resolved_once,
        not_resolved_again,
        docker_without_valid,
    ),
)
