"""The target contains a variable, but no resolver is configured.

nginx logs "no resolver defined to resolve NAME" and answers 502. A name without a variable needs no resolver: nginx resolves it
when it loads the configuration.

## Do not confuse with
- `dns-host-not-found`, `dns-resolver-failure`: a resolver is configured, but it does not know the name or does not answer.

## Confirm
- `nginx -T | grep -n resolver` shows none for this server.

## Fix
- Add `resolver ADDRESS valid=30s;` at http, server or location level (Docker: 127.0.0.11), or put the name in an upstream block.

## References
- https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from why502.deployment.files import Deployment, host_name, peers_of
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.model.finding import PROOF, Layer, Risk, Severity
from why502.model.logs import Symptom
from why502.model.patterns import lazy
from why502.model.remedy import Remedy
from why502.remedies.changes import own_servers, reload, rename, set_in_route


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: the address from the machine's hosts file if that has the name,
    else the machine's own name servers as resolver.
    """
    for route in case.routes:
        if not route.has_variables or route.resolver:
            continue
        proxy = next((proxy for proxy in case.proxies if route in proxy.routes), None)
        for peer in route.peers:
            host = peer.target.host if peer.target and not peer.target.is_address else ""
            resolutions = case.resolutions(host) if host else ()
            known = [address for x in resolutions if x.source in ("/etc/hosts", "system") for address in x.addresses]
            v4 = next((address for address in known if ":" not in address), "")
            change = rename(case, route, f"{host}:", f"{v4}:") if v4 else None
            if change:
                yield Remedy(message=f"name {v4}, which {host} is on this machine", steps=(change, *reload(proxy)))
                return
        found = own_servers(case)
        change = set_in_route(case, "resolver", f"{' '.join(found)} valid=30s", route) if found else None
        if change:
            yield Remedy(message=f"use {' and '.join(found)}, this machine's own name servers", steps=(change, *reload(proxy)))
            return


_FROM_CLIENT = lazy(r"host|http_\w+|arg_\w+|cookie_\w+|ssl_server_name|ssl_preread_server_name|server_name")


@rule(20, "variable-without-resolver", Severity.ERROR)
def without_resolver(deployment: Deployment) -> Iterator[Risk]:
    """The target contains a variable, but no `resolver` is in force.

    nginx loads the configuration, but every request to that route gets 502 (`no resolver defined to resolve`), even for
    `localhost`. Only addresses, upstream groups and names that another pass directive contains without a variable need no
    resolver.
    """
    unresolved = [route for route in deployment.routes if route.has_variables and not route.resolver]
    if not unresolved or not deployment.is_whole:
        return
    fixed = (route for route in deployment.routes if not route.has_variables)
    static = {(host_name(peer), peer.target.port) for peer in peers_of(fixed) if peer.target}
    for route in unresolved:
        level = deployment.level(route)
        if level is None or not level.is_known:
            continue
        for peer in deployment.peers(route):
            if peer.at != route.at or peer.name.startswith("unix:"):
                continue
            host = peer.name.rsplit(":", 1)[0] if not peer.name.endswith("]") else peer.name
            is_open = "$" in host
            if is_open and not all(_FROM_CLIENT.fullmatch(name) for name in re.findall(r"\$\{?(\w+)", host)):
                continue  # a map, a module or code may turn it into an address or a group
            if not is_open and (not host_name(peer) or (peer.target and (host_name(peer), peer.target.port) in static)):
                continue
            message = (
                f"{route.directive} {route.passes}: no resolver is set, so it must be an address or a group"
                if is_open
                else f"{peer.name} is resolved for each request, but no resolver is set"
            )
            yield risk(
                message,
                route.at,
                "add `resolver ADDRESS valid=30s;` (in Docker 127.0.0.11), or name an upstream group",
                severity=Severity.WARNING if is_open else None,
            )
            break


CAUSE = Cause(
    id="resolver-missing",
    layer=Layer.PROXY,
    message="the target contains a variable, but no resolver is configured",
    symptoms={Symptom.NO_RESOLVER: PROOF},
    remedies=remedies,
    foresee=(without_resolver,),
)
