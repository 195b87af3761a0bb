"""The running gateways other than nginx that proxy requests, with the files named in their command lines:
see `gateways/*/running.py`.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import msgspec

from why502.gateways.behaviour import behaviour
from why502.gateways.running import Texts, by_kind, by_process, changed_at, environment_of, supplied, understood
from why502.gateways.switch_files import in_force
from why502.gateways.testing import tester
from why502.host.base import Host
from why502.machine import memory, suppliers
from why502.machine.attempt import attempt
from why502.machine.process_table import CLOCKS_S, ProcessTable, settled_first
from why502.machine.suppliers import Allowance, Rights
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap

MOST = 16
MOST_OF_USER = 4  # per user other than root
_SYSTEM = "/system.slice/"  # systemd's own services are there; users' services, with names they choose, are in user.slice
WORKERS = 8


def others(host: Host, table: ProcessTable, allowances: dict[int, Allowance], gaps: list[Gap]) -> list[Proxy]:
    """Return the gateways with routes, root's first. Raises HostError."""
    every = masters(host, table)
    found = (one(host, table, pid, name, uid, allowances.setdefault(uid, Allowance()), gaps) for uid, pid, name in every)
    return [proxy for proxy in found if proxy is not None and proxy.routes]


def that_serve(running: list[Proxy]) -> list[Proxy]:
    """Return the running gateways with routes; if there are none, the web servers without routes.

    An Apache may run applications itself (mod_wsgi, Passenger, mod_php, CGI), without any route. Behind a gateway it is a
    backend.
    """
    leading = [proxy for proxy in running if proxy.routes or proxy.kind not in by_kind() or by_kind()[proxy.kind].IS_ALWAYS_PROXY]
    if any(_has_backends(proxy) for proxy in leading):
        return leading
    serving = [proxy for proxy in running if proxy not in leading and not proxy.network]
    return [*leading, *serving]


def _has_backends(proxy: Proxy) -> bool:
    """Return whether its configuration names a backend, or says that its routes are elsewhere."""
    return bool(proxy.routes or proxy.upstreams or proxy.routes_elsewhere)


def masters(host: Host, table: ProcessTable) -> Iterator[tuple[int, int, str]]:
    """Yield user, pid and name of the main processes to examine: root's, then a few of each other user's.

    Raises HostError.
    """
    stats = table.stats()
    pids = [
        pid
        for pid, stat in stats.items()
        if stat.name in by_process() and stat.state != "Z" and (stat.ppid not in stats or stats[stat.ppid].name != stat.name)
    ]
    owners = {pid: uid for pid in pids if (uid := attempt(partial(by_process()[stats[pid].name].owner, host, pid))) is not None}
    taken: Counter[int] = Counter()
    for pid in sorted(owners, key=lambda pid: (owners[pid] != suppliers.ROOT, pid)):
        taken[owners[pid]] += 1
        if taken[owners[pid]] <= (MOST if owners[pid] == suppliers.ROOT else MOST_OF_USER) and taken.total() <= 2 * MOST:
            yield owners[pid], pid, stats[pid].name


def one(host: Host, table: ProcessTable, pid: int, name: str, uid: int, allowance: Allowance, gaps: list[Gap]) -> Proxy | None:
    """Return the proxy run by a main process; None if it has neither routes nor groups, unless the product may serve content.

    Unreadable files are a gap only for a product that is always a proxy; an Apache may only serve files.
    """
    try:
        rights = Rights(host, uid, table.root(pid), allowance)
        workers = _workers(table, pid)
        proxy = _proxy(host.acting_as(uid), rights, table.process(pid), workers, name)
        if behaviour(proxy.kind).workers_take_one_request:
            rss, pss = memory.of_each(host, (worker.pid for worker in workers if worker.pid != pid))
            proxy = msgspec.structs.replace(proxy, worker_bytes=pss or rss)
    except HostError as error:
        if by_process()[name].IS_ALWAYS_PROXY:
            gaps.append(Gap(source="proxies", reason=f"{name} process {pid}: {error.reason}", hint=error.hint))
        return None
    return proxy if _has_backends(proxy) or not by_process()[name].IS_ALWAYS_PROXY else None


def _workers(table: ProcessTable, master: int) -> tuple[Process, ...]:
    """Return some worker processes of a master, the newest among them: they connect to the backends, under another user than
    the master's. Raises HostError if the master has ended.
    """
    stats = table.stats()
    if master not in stats:
        raise HostError("it ended while it was looked at")
    names = {stats[master].name, *by_process()[stats[master].name].WORKERS}
    children = sorted(pid for pid, stat in stats.items() if stat.ppid == master and stat.name in names and stat.state != "Z")
    newest = sorted(children, key=lambda pid: stats[pid].started_s)[-1:]
    found = (attempt(partial(table.process, pid)) for pid in dict.fromkeys((*children[:WORKERS], *newest)))
    return settled_first(table.process(master), (worker for worker in found if worker is not None))


def _proxy(acting: Host, rights: Rights, process: Process, workers: tuple[Process, ...], name: str) -> Proxy:
    gateway = by_process()[name]
    mains = _files(process, name)
    texts = list(gateway.texts(rights, process, mains))
    read = understood(gateway, rights, texts, partial(_environment, acting, rights, process, gateway.KIND, texts))
    files = supplied(rights, (file for each in read for file in each.files))
    return Proxy(
        kind=gateway.KIND,
        pid=process.pid,
        exe=process.exe,
        config=texts[0][0] if texts else mains[0],
        root=process.root,
        network=process.network,
        unit=process.unit if not rights.owner_uid or process.cgroup.startswith(_SYSTEM) else "",
        user=workers[0].user if workers else process.user,
        workers=workers,
        files=files,
        changed_at=changed_at(files),
        loaded_at=_loaded_at(gateway.KIND, process, workers),
        owner_uid=rights.owner_uid,
        routes=(*(route for each in read for route in each.routes), *gateway.lost_routes(rights, texts)),
        upstreams=tuple(group for each in read for group in each.upstreams),
        answers=in_force(rights.own, [answer for each in read for answer in each.answers]),
        logs=tuple(gateway.logs(rights.own, process, texts, read)),
        problems=tuple(problem for each in read for problem in each.problems),
        routes_elsewhere=any(each.routes_elsewhere for each in read),
        unused_routes=tuple(route for each in read for route in each.unused_routes),
        attaches_by_default=next((each.attaches_by_default for each in read if each.attaches_by_default is not None), None),
    )


def _environment(acting: Host, rights: Rights, process: Process, kind: str, texts: Texts) -> dict[str, str] | None:
    """Return the variables that the files name, from the environment of the process; None if they cannot be read, or if another
    user could have named them.
    """
    product = tester(kind)
    names = product.variables(texts) if product else frozenset()
    if names and any(rights.supplier(path) != rights.owner_uid for path, _ in texts):
        return None
    return environment_of(acting, process, names) if names else {}


def _loaded_at(kind: str, process: Process, workers: tuple[Process, ...]) -> datetime | None:
    """Return the start of the newest worker, later by the possible difference of the clocks: no configuration was loaded after
    that. None if the product starts no workers to load one.
    """
    if not behaviour(kind).starts_workers_to_load:
        return None
    started_at = max((worker.started_at for worker in workers if worker.started_at), default=process.started_at)
    return started_at + timedelta(seconds=CLOCKS_S) if started_at else None


def _files(process: Process, name: str) -> list[str]:
    """Return the configuration files named in the command line, else the distribution's default."""
    words = [part for word in process.argv[1:] for part in (word.split("=", 1) if word.startswith("--config=") else (word,))]
    named = [after for word, after in pairwise(words) if word in by_process()[name].OPTIONS]
    directory = next((after for word, after in pairwise(words) if word in ("-d", "-C") and "/" in after), "")
    base = posixpath.join(process.cwd or "/", directory)
    return [posixpath.normpath(posixpath.join(base, path)) for path in named] or [by_process()[name].MAIN[name]]
