"""worker_connections is too low for the load.

"N worker_connections are not enough": without request fields the new client was dropped; "while connecting to upstream" gives 500. Each proxied
request needs two connections of its worker.

## Confuse not with
- `proxy-loop`: the proxy eats its own connections.
- `too-many-open-files`: the limit of descriptors is the lower one.

## Confirm
- `ss -Htnp | grep -c nginx` against worker_connections times workers (512 by default, 768 in Debian's file).

## Fix
- Raise worker_connections, and worker_rlimit_nofile to at least twice that.

## References
- https://nginx.org/en/docs/ngx_core_module.html#worker_connections
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.case import Case
from why502.cause import Cause
from why502.changes import reload, set_at_top
from why502.config.nginx import units
from why502.deployment import Deployment
from why502.model.finding import WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.remedy import Remedy
from why502.rule import risk, rule


def examine(case: Case) -> Iterator[Evidence]:
    """Yield what speaks for and against."""
    if case.seen(Symptom.WORKER_CONNECTIONS):
        for proxy in case.proxies:
            if proxy.worker_connections is not None:
                yield supports(f"worker_connections is {proxy.worker_connections}", proxy.config, WEAK)
                break


def remedies(case: Case) -> Iterator[Remedy]:
    """Raise it, and the limit of open files with it: a proxied request takes two connections, each of them a file."""
    proxy = case.proxy or next(iter(case.proxies), None)
    if proxy is None or not proxy.worker_connections:
        return
    wanted = max(4096, 4 * proxy.worker_connections)
    files = 2 * wanted + 1024
    limits = [worker.limits.files_limit for worker in proxy.workers if worker.limits and worker.limits.files_limit]
    changes = [set_at_top(case, proxy, "worker_connections", str(wanted), "events")]
    says = f"worker_connections {wanted};"
    if not limits or min(limits) < files:
        changes.append(set_at_top(case, proxy, "worker_rlimit_nofile", str(files)))
        says = f"{says} and worker_rlimit_nofile {files};"
    found = tuple(change for change in changes if change)
    yield Remedy(says=says, steps=(*found, *reload(proxy)) if len(found) == len(changes) else ())


@rule(101, "worker-connections-few", Severity.NOTE)
def few_connections(deployment: Deployment) -> Iterator[Risk]:
    """A worker may have few connections, of which a proxied request takes two.

    Beyond them requests fail with 500 or are not accepted at all (`worker_connections are not enough`).
    """
    for level in deployment.blocks("events"):
        for directive in level.own("worker_connections"):
            count = units.number(directive.args[0]) if directive.args else None
            if count is not None and count < 256 and deployment.routes:
                yield risk(
                    f"a worker serves about {count // 2} proxied requests at once",
                    directive.at,
                    "take 1024 or more, and files to match",
                )


@rule(102, "keepalive-takes-all-connections", Severity.WARNING)
def idle_connections(deployment: Deployment) -> Iterator[Risk]:
    """Groups may keep as many idle connections as a worker has.

    Idle ones count as well: none is left for clients.
    """
    connections = deployment.configuration.worker_connections or 512
    asked = [group for group in deployment.upstreams if group.keepalive_at is not None and group.keepalive]
    total = sum(group.keepalive for group in asked)
    if asked and deployment.is_whole and total >= connections:
        largest = max(asked, key=lambda group: group.keepalive)
        yield risk(
            f"groups keep {total} idle connections, a worker has {connections}",
            largest.keepalive_at,
            "keep fewer, or raise worker_connections",
        )


CAUSE = Cause(
    id="worker-connections-exhausted",
    layer=Layer.PROXY,
    says="worker_connections is too low for the load",
    headline="the worker_connections of {proxy} are used up",
    symptoms={Symptom.WORKER_CONNECTIONS: 5.0},
    yields_to=frozenset({"backend-hung", "proxy-loop"}),
    examine=examine,
    remedies=remedies,
    foresee=(
        few_connections,
        idle_connections,
    ),
)
