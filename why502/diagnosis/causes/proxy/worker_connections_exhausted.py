"""The proxy's own limit on connections or workers is too low for the load: worker_connections, MaxRequestWorkers, maxconn.

nginx logs "N worker_connections are not enough". If the line has no request fields, the new client was dropped. With "while
connecting to upstream" the client gets 500. Each proxied request needs two of its worker's connections.

Each Apache worker handles one request. When all MaxRequestWorkers are busy, further clients wait in the kernel's accept queue and
do not appear in any log. Slow backends keep the workers busy. Apache logs it once ("server reached MaxRequestWorkers setting").

## Do not confuse with
- `proxy-loop`: the proxy connects to itself and uses up its own connections.
- `too-many-open-files`: the limit on open files is reached first.

## Confirm
- Compare `ss -Htnp | grep -c nginx` with worker_connections (512 by default, 768 in Debian's file) times the number of workers.
- Apache: `ss -ltn 'sport = :80'` shows Recv-Q above 0 while clients wait.

## Fix
- Raise the limit, and that of open files with it.
- nginx: raise worker_connections, and worker_rlimit_nofile to at least twice that.
- HAProxy: raise the `maxconn` of the frontend or of its defaults, and the global one.
- Apache: find out which backend keeps the workers busy. Then raise MaxRequestWorkers (and ServerLimit) as far as memory allows,
  or use mpm_event.

## References
- https://nginx.org/en/docs/ngx_core_module.html#worker_connections
- https://httpd.apache.org/docs/2.4/mod/mpm_common.html#maxrequestworkers
"""

from __future__ import annotations

from collections.abc import Iterator

from why502.deployment.files import Deployment
from why502.deployment.rule import risk, rule
from why502.diagnosis.case import Case
from why502.diagnosis.cause import Cause
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config import units
from why502.gateways.worker_limits import worker_limits
from why502.model.finding import FAIR, LIKELY, WEAK, Evidence, Layer, Risk, Severity, supports
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.remedy import Remedy
from why502.model.times import whole_number
from why502.remedies.changes import reload, set_at_top, set_where_written
from why502.remedies.drop_ins import restart, unit_named

FEWEST = 4096  # connections that a raised limit allows
MANY = 8  # connections that wait to be accepted: after a short burst fewer than that remain


def examine(case: Case) -> Iterator[Evidence]:
    """Yield the evidence for and against this cause."""
    if case.seen(Symptom.WORKER_CONNECTIONS):
        for proxy in case.proxies:
            if proxy.worker_connections is not None:
                name = behaviour(proxy.kind).worker_limit or "worker_connections"
                yield supports(f"{name} is {proxy.worker_connections}", proxy.config, WEAK)
                break
    if case.target is None:
        for proxy in case.proxies:
            if waiting := _waiting(case, proxy):
                busy = (
                    ", whose workers handle one request at a time"
                    if behaviour(proxy.kind).workers_take_one_request
                    else ", which does not accept them"
                )
                yield supports(f"{waiting} clients wait to be accepted by {proxy.kind}{busy}", "ss -ltn", LIKELY)
                if limits := [limit for route in proxy.routes for limit in route.settings.get("maxconn", ())]:
                    least = min(limits, key=lambda limit: whole_number(limit.args[0], 8) or 0)
                    yield supports(f"maxconn is {least.args[0]} there", str(least.at or proxy.config), FAIR)


def _waiting(case: Case, proxy: Proxy) -> int:
    """Return how many clients wait in the accept queues of a running proxy with a limit on clients,
    if these are more than a short burst leaves, or fill a queue; else 0.
    """
    pids = set(proxy.pids)
    limit = behaviour(proxy.kind)
    is_stopped = bool(proxy.workers or limit.workers_take_one_request) and all(worker.is_stopped for worker in proxy.workers)
    if not limit.worker_limit or not proxy.is_running or is_stopped:
        return 0
    doors = [one for one in case.here.listeners or () if pids & set(one.pids) and not one.target.is_unix and one.queued]
    waiting = sum(one.queued or 0 for one in doors)
    is_full = any(one.backlog and (one.queued or 0) > one.backlog for one in doors)  # the kernel accepts no more clients
    return waiting if waiting >= MANY or is_full else 0


def summarize(case: Case) -> str:
    """Return the finding in one sentence for a proxy that counts clients, not connections of its workers."""
    if case.target is not None:
        return ""
    counting = [proxy for proxy in case.proxies if behaviour(proxy.kind).worker_limit]
    for proxy in counting:
        limit = behaviour(proxy.kind)
        waiting = _waiting(case, proxy)
        if waiting and not limit.workers_take_one_request:
            full = f"{proxy.kind} has as many connections as its {limit.worker_limit} allows"
            return f"{full}: {waiting} clients wait to be accepted"
    for proxy in counting:
        limit = behaviour(proxy.kind)
        if not limit.workers_take_one_request:
            continue
        is_logged = any(tally.symptom is Symptom.WORKER_CONNECTIONS and tally.proxy == proxy.kind for tally in case.tallies)
        waiting = _waiting(case, proxy)
        queue = f"{waiting} clients wait to be accepted" if waiting else ""
        words = f"its log reports that {limit.worker_limit} was reached" if is_logged else ""
        if queue or words:
            return f"all workers of {proxy.kind} are busy: {' and '.join(filter(None, (words, queue)))}"
    used_up = case.tally(Symptom.WORKER_CONNECTIONS)
    limits = [x.worker_connections for x in case.proxies if used_up and x.kind == used_up.proxy and x.worker_connections]
    if used_up is None or not limits:
        return ""
    name = behaviour(used_up.proxy).worker_limit or "worker_connections"
    return f"the {limits[0]} {name} of {used_up.proxy} are too few: used up {used_up.count} times"


def remedies(case: Case) -> Iterator[Remedy]:
    """Return the remedy: raise it together with the limit of open files, because a proxied request takes two connections
    and each is a file.
    """
    proxy = case.proxy or next(iter(case.proxies), None)
    if proxy is None:
        return
    if behaviour(proxy.kind).workers_take_one_request:
        yield from _raised_as_memory_allows(case, proxy)
        return
    if not behaviour(proxy.kind).takes_directives:
        yield from _raised_where_written(proxy)
        return
    if not proxy.worker_connections:
        return
    wanted = max(FEWEST, 4 * proxy.worker_connections)
    files = 2 * wanted + 1024
    limits = [worker.limits.files_limit for worker in proxy.workers if worker.limits and worker.limits.files_limit]
    changes = [set_at_top(case, proxy, "worker_connections", str(wanted), "events")]
    message = f"worker_connections {wanted};"
    if not limits or min(limits) < files:
        changes.append(set_at_top(case, proxy, "worker_rlimit_nofile", str(files)))
        message = f"{message} and worker_rlimit_nofile {files};"
    found = tuple(change for change in changes if change)
    yield Remedy(message=message, steps=(*found, *reload(proxy)) if len(found) == len(changes) else ())


def _raised_as_memory_allows(case: Case, proxy: Proxy) -> Iterator[Remedy]:
    """Yield the remedies for a gateway each of whose workers takes memory. One that only a restart loads is a decision, since it
    interrupts the requests that are being answered.
    """
    by, own = worker_limits(proxy.kind), {"machine", *(worker.cgroup for worker in proxy.workers)}
    known = (each.memory_available_bytes for each in case.here.pressure or () if each.scope in own)
    free = min((size_bytes for size_bytes in known if size_bytes), default=None)
    load = reload(proxy)
    child = proxy.worker_bytes
    for one in by.raised(proxy, child, free, _waiting(case, proxy)) if by is not None and child and free else ():
        changes = [set_where_written(setting, value) for setting, value in one.settings]
        edits = tuple(change for change in changes if change) if all(changes) else ()
        if one.needs_restart:
            again = restart(unit_named(proxy.unit)) if proxy.unit.endswith(".service") and not proxy.is_apart else None
            yield Remedy(
                message=f"{one.message}. Only a restart of {proxy.unit or proxy.kind} loads that; it interrupts running requests",
                steps=(*edits, *load[:1], again) if edits and again and load else (),
                is_policy=True,
            )
        else:
            yield Remedy(message=one.message, steps=(*edits, *load) if edits and load else ())


def _raised_where_written(proxy: Proxy) -> Iterator[Remedy]:
    """Yield the remedy for a gateway whose routes say how many clients it accepts; it raises its limit of open files itself."""
    name = behaviour(proxy.kind).worker_limit
    limits = {setting: whole_number(setting.args[0], 8) for route in proxy.routes for setting in route.settings.get(name, ())}
    counts = [count for count in limits.values() if count]
    if not counts:
        return
    wanted = max(FEWEST, 4 * min(counts))
    changes = [set_where_written(setting, str(wanted)) for setting, count in limits.items() if count and count < wanted]
    found, load = tuple(change for change in changes if change), reload(proxy)
    yield Remedy(message=f"{name} {wanted}", steps=(*found, *load) if load and len(found) == len(changes) else ())


@rule(101, "worker-connections-few", Severity.NOTE)
def few_connections(deployment: Deployment) -> Iterator[Risk]:
    """The connection limit of a worker is low, and a proxied request takes two connections.

    Above the limit, requests fail with 500 or are not accepted (`worker_connections are not enough`).
    """
    for level in deployment.blocks("events"):
        for directive in level.own("worker_connections"):
            count = units.number(directive.args[0]) if directive.args else None
            if count is not None and count < 256 and deployment.routes:
                yield risk(
                    f"a worker serves about {count // 2} proxied requests at once",
                    directive.at,
                    "use 1024 or more, and enough open files for them",
                )


@rule(102, "keepalive-takes-all-connections", Severity.WARNING)
def idle_connections(deployment: Deployment) -> Iterator[Risk]:
    """Groups may keep as many idle connections as a worker can have in total.

    Idle connections count too, so none is left for clients.
    """
    connections = deployment.configuration.worker_connections or 512
    asked = [group for group in deployment.upstreams if group.keepalive_at is not None and group.keepalive]
    total = sum(group.keepalive for group in asked)
    if asked and deployment.is_whole and total >= connections:
        largest = max(asked, key=lambda group: group.keepalive)
        yield risk(
            f"groups keep {total} idle connections, but a worker has only {connections} in total",
            largest.keepalive_at,
            "keep fewer idle connections, or raise worker_connections",
        )


CAUSE = Cause(
    id="worker-connections-exhausted",
    layer=Layer.PROXY,
    message="the proxy's own limit on connections or workers (worker_connections, MaxRequestWorkers) is too low for the load",
    headline="the worker_connections of {proxy} are used up",
    symptoms={Symptom.WORKER_CONNECTIONS: 5.0},
    is_reached_by_load=True,
    examine=examine,
    remedies=remedies,
    summarize=summarize,
    foresee=(
        few_connections,
        idle_connections,
    ),
)
