"""The name server itself failed or did not answer.

nginx logs "could not be resolved" with "(110: Operation timed out)", "(2: Server failure)" or "(5: Operation refused)". The
client gets 502, immediately or after resolver_timeout (30 s).

## Do not confuse with
- `dns-host-not-found`: the name server answers that the name does not exist.

## Confirm
- `dig NAME @RESOLVER +tries=1 +time=2` fails or times out.

## Fix
- If the name server runs on the same machine and is stopped, start it: `systemctl start dnsmasq`.
- Configure a resolver that works, better two of them; on a machine with systemd-resolved use 127.0.0.53.
- In a container, use the name server of its /etc/resolv.conf. Docker's is 127.0.0.11; podman's is the address of the bridge.

## References
- nginx: src/core/ngx_resolver.c, ngx_resolver_strerror
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.config import edit
from why502.diagnosis import containers
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.diagnosis.glued import glued
from why502.gateways.behaviour import behaviour
from why502.model.finding import FAIR, LIKELY, PROOF, Evidence, Layer, refutes, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Lookup, Resolution
from why502.remedies.changes import own_servers, reload, start, tree_of

DOCKER = "127.0.0.11"
SYMPTOMS = (Symptom.NAME_SERVER_FAILED, Symptom.NAME_NOT_FOUND)


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if (message := _of_docker(case)) and case.seen(*SYMPTOMS):
        yield supports(message, "/etc/resolv.conf of the container", 2 * PROOF)
    if case.target is not None:
        return
    if found := glued(case):
        yield refutes(
            f"{found.asked} is not a name in the configuration: it is {found.configured} with a path appended", weight=PROOF
        )
        return
    for name in case.here.names or ():
        if name.outcome in (Lookup.FAILED, Lookup.TIMED_OUT) and name.is_resolver:
            yield supports(
                f"{name.source} does not answer for {name.name} now ({name.detail or name.outcome})", name.source, FAIR
            )
            yield from _own_server(case, name)
            return


def _own_server(case: Case, failed: Resolution) -> Iterator[Evidence]:
    """Yield that the name server in the /etc/resolv.conf of the proxy's container does resolve the name."""
    for other in case.here.names or ():
        if other.name == failed.name and other.network == failed.network and not other.is_resolver and other.addresses:
            if other.network and other.servers and other.source != failed.source:
                message = f"{other.source}, the name server in the container's /etc/resolv.conf, resolves {other.name}"
                yield supports(message, "/etc/resolv.conf", LIKELY)
            return


def _of_docker(case: Case) -> str:
    """Return why the configured name server is none in the proxy's container: it is Docker's, and podman runs it; else ""."""
    for proxy in (case.proxy,) if case.proxy else case.proxies:
        own = containers.container_of(proxy, case.joins)
        servers = {word.partition(":")[0] for route in proxy.routes for word in route.resolver}
        if own is not None and own.engine == "podman" and DOCKER in servers:
            gateways = [place.gateway for place in own.attachments if place.gateway]
            known = f"; podman's is {' or '.join(gateways)}" if gateways else ""
            return f"`resolver {DOCKER}` is Docker's name server, and {own.shown} runs under podman{known}"
    return ""


def summarize(case: Case) -> str:
    """Return the finding in one sentence."""
    return _of_docker(case) if case.seen(*SYMPTOMS) else ""


def remedies(case: Case) -> Iterator[Remedy]:
    """Start the stopped name server of this machine, or use the container's own, or this machine's, which resolve the name."""
    for name in case.here.names or ():
        if name.unit_state == "masked":
            yield Remedy(message=f"unmask {name.unit}, which was masked deliberately, and start it")
        elif name.unit:
            stopped = Service(manager="systemd", name=name.unit, start_argv=("systemctl", "start", name.unit))
            yield Remedy(message=f"start {name.unit}, the name server of this machine", steps=(start(stopped),))
        if name.unit:
            return
    own = containers.proxy_container(case)
    if own is not None and _of_docker(case):
        gateways = " ".join(place.gateway for place in own.attachments if place.gateway)
        has_directive = case.proxy is not None and behaviour(case.proxy.kind).takes_directives
        use = f"write `resolver {gateways} valid=10s;`" if has_directive else f"ask the name server {gateways}"
        yield Remedy(message=f"{use}: the nameserver line of the container's /etc/resolv.conf")
        return
    servers = own_servers(case)
    for route in case.routes if servers else ():
        setting = route.setting("resolver") if route.has_variables else None
        tree = tree_of(case, setting.at) if setting else None
        if setting is None or setting.at is None or tree is None or set(servers) <= set(setting.args):
            continue
        proxy = next((proxy for proxy in case.proxies if route in proxy.routes), None)
        options = [word for word in setting.args if "=" in word]
        change = edit.replace_directive(tree, setting.at, f"resolver {' '.join((*servers, *options))};")
        yield Remedy(message=f"use {' and '.join(servers)}, this machine's own name servers", steps=(change, *reload(proxy)))
        return


CAUSE = Cause(
    id="dns-resolver-failure",
    layer=Layer.NETWORK,
    message="the name server itself did not answer or failed",
    symptoms={Symptom.NAME_SERVER_FAILED: 5.0},
    explains=frozenset({"dns-host-not-found"}),
    examine=examine,
    summarize=summarize,
    remedies=remedies,
)
