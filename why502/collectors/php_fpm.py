"""PHP-FPM pools: of every running master and of every configuration on disk.

Values come from the configuration files, not from `php-fpm -tt`: that opens the pool's own error log, and creates it where it
is missing. Masters and children are identified by their titles (fpm_children.c, fpm_main.c). Children are busy while they hold
a connection: the kernel's socket tables show these, and the waiting ones, even while the pool is too full to answer its own
status page.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import msgspec

from why502.backends.php_fpm import files, status
from why502.backends.php_fpm.config import listen_target, pools
from why502.collectors.base import CollectOptions, Found
from why502.host.base import Host
from why502.host.trust import NOBODY
from why502.machine import memory, sockets
from why502.machine.attempt import attempt, each
from why502.machine.process_table import ProcessTable, unit_of
from why502.machine.sockets import Socket
from why502.machine.suppliers import ROOT, Allowance, Rights, of_process, supplier_of
from why502.model.base import Value
from why502.model.errors import Expired, HostError
from why502.model.patterns import lazy
from why502.model.service import PhpPool
from why502.model.snapshot import Gap, Snapshot
from why502.model.target import Target

SECTION = "php_pools"
NEEDS = ("admin", "proxies")
LIMIT_S = 2.5
STATUS_S = 1.0  # for all status and ping pages together
_MASTERS = 32
_MASTERS_OF_USER = 4  # per user other than root
_MASTER = lazy(r"php-fpm: master process \((?P<config>[^)\n]+)\)?")
_CHILD = lazy(r"php-fpm: pool (?P<pool>.+)")


class Master(Value, frozen=True, kw_only=True):
    """A running master, or with pid 0 a configuration without a process. `children` are counts by pool."""

    config: str
    pid: int = 0
    exe: str = ""
    root: str = ""
    network: str = ""
    unit: str = ""
    environment: dict[str, str] = {}
    children: dict[str, tuple[int, ...]] = {}
    owner_uid: int = 0


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[PhpPool, ...]]:
    """Return the pools of all masters, then those of configurations without a process. Raises HostError without /proc."""
    return list(parts(host, known, options))[-1]


def parts(host: Host, known: Snapshot, options: CollectOptions) -> Iterator[Found[tuple[PhpPool, ...]]]:
    """Yield the pools of root's masters and configurations, then again with those of each other user.

    Raises HostError without /proc.
    """
    gaps: list[Gap] = []
    allowances: dict[int, Allowance] = {}
    found: list[PhpPool] = []
    until = time.monotonic() + STATUS_S
    tables: dict[str, list[Socket]] = {}
    used: set[tuple[str, int, int, str]] = set()

    def pools_of(master: Master) -> Iterator[PhpPool]:
        rights = Rights(host, master.owner_uid, master.root, allowances.setdefault(master.owner_uid, Allowance()))
        prefix = files.default_prefix(master.config, master.exe)
        entries, unread = files.read(rights, master.config, prefix)
        gaps.extend(unread)
        for pool in pools(entries, prefix, master.environment):
            seen = _owned(pool, master, rights.supplier(pool.file))
            if master.pid:
                seen = _measured(host, seen, master, tables)
            if master.pid and options.probes and not options.offline:
                seen = _asked(host.acting_as(seen.owner_uid), seen, prefix, until, gaps)
            yield seen

    def missed(master: Master, reason: str, hint: str) -> None:
        gaps.append(Gap(source=f"PHP-FPM {master.config}", reason=reason, hint=hint or "run why502 as root"))

    running = masters(host)
    idle = [Master(config=path, owner_uid=supplier_of(host, path)) for path in files.found(host)]
    # sorted() is stable: running masters come before the files, some of which belong to them
    for master in sorted((*running, *idle), key=lambda one: one.owner_uid != ROOT):
        if master.owner_uid != ROOT:
            yield Found(tuple(found), tuple(gaps))
        identity = (master.root, *_identity(host, master))
        if not master.pid and identity in used:
            continue
        used.add(identity)
        found += each([master], pools_of, missed)
    yield Found(tuple(found), tuple(gaps))


def masters(host: Host) -> tuple[Master, ...]:
    """Return every running PHP-FPM master, with its children. Raises HostError without /proc."""
    table = ProcessTable(host)
    stats = table.stats()
    titles = {pid: " ".join(attempt(partial(table.argv, pid)) or ()) for pid, stat in stats.items() if "php" in stat.name}
    children: dict[int, dict[str, tuple[int, ...]]] = {}
    for pid, title in titles.items():
        if match := _CHILD.match(title):
            own = children.setdefault(stats[pid].ppid, {})
            own[match["pool"]] = (*own.get(match["pool"], ()), pid)
    heads = [(pid, match["config"]) for pid, title in titles.items() if (match := _MASTER.match(title))]
    return tuple(
        Master(
            pid=pid,
            config=config,
            exe=attempt(partial(host.link, f"/proc/{pid}/exe")) or "",
            root=table.root(pid),
            network=table.network(pid),
            unit=unit_of(host, pid),
            environment=parse_environment(attempt(partial(host.read, f"/proc/{pid}/environ")) or b""),
            children=children.get(pid, {}),
            owner_uid=uid,
        )
        for pid, config, uid in _roots_first(host, heads)
    )


def _roots_first(host: Host, heads: list[tuple[int, str]]) -> list[tuple[int, str, int]]:
    """Return pid, configuration and user of the masters to examine: root's, then a few of each other user."""
    owned = [(attempt(partial(of_process, host, pid)), pid, config) for pid, config in heads]
    taken: Counter[int] = Counter()
    found = []
    for uid, pid, config in sorted((NOBODY if uid is None else uid, pid, config) for uid, pid, config in owned):
        taken[uid] += 1
        if taken[uid] <= (_MASTERS if uid == ROOT else _MASTERS_OF_USER):
            found.append((pid, config, uid))
    return found[:_MASTERS]


def parse_environment(content: bytes) -> dict[str, str]:
    """Return /proc/PID/environ by name; values are used only if the configuration refers to them, and never stored."""
    pairs = (item.partition("=") for item in content.decode("utf-8", "replace").split("\0"))
    return {name: value for name, found, value in pairs if found}


def _owned(pool: PhpPool, master: Master, supplier_uid: int) -> PhpPool:
    children = master.children.get(pool.name, ())
    return msgspec.structs.replace(
        pool,
        master_pid=master.pid or None,
        children=len(children) if master.pid else None,
        unit=master.unit,
        root=master.root,
        network=master.network,
        owner_uid=supplier_uid,
    )


def _measured(host: Host, pool: PhpPool, master: Master, tables: dict[str, list[Socket]]) -> PhpPool:
    """Return the pool with the memory of its children, the number of those with a connection, and the number of waiting
    connections.
    """
    rss, pss = memory.of_each(host, master.children.get(pool.name, ()))
    busy, queued = None, None
    if pool.target is not None:
        directory = f"/proc/{master.pid}/net" if master.network else "/proc/net"
        table = f"{directory}/unix" if pool.target.is_unix else f"{directory}/tcp"
        try:
            if table not in tables:
                is_unix = pool.target.is_unix
                tables[table] = sockets.read_unix(host, directory) if is_unix else sockets.read_tcp(host, directory)[0]
            use = sockets.use(pool.target, tables[table], tables[table])
            busy, queued = min(use.held, pool.children or 0), use.queued
        except HostError:
            pass
    return msgspec.structs.replace(
        pool,
        child_rss_bytes=rss,
        child_pss_bytes=pss,
        children_busy=busy,
        queued=queued,
    )


def _asked(host: Host, pool: PhpPool, prefix: str, until: float, gaps: list[Gap]) -> PhpPool:
    """Return the pool with its status page and whether it answers a ping.

    A pool without a free child or `pm.status_listen` is not queried: the request would only join the queue.
    """
    settings = pool.settings
    apart = listen_target(settings.get("pm.status_listen", ""), prefix)
    is_full = bool(pool.queued) or bool(pool.children_busy and pool.children_busy >= (pool.max_children or 1))
    answer: dict[str, str] = {}
    pong: bool | None = None
    try:
        if path := settings.get("pm.status_path"):
            answer = status.parse(_page(host, pool, apart, path, until, is_full=is_full))
        if path := settings.get("ping.path"):
            response = _page(host, pool, None, path, until, is_full=is_full).strip()
            # any other response also shows that it is alive
            pong = True if response == settings.get("ping.response", "pong").encode() else None
    except HostError as error:
        pong = False if isinstance(error, Expired) and path == settings.get("ping.path") else None
        gaps.append(Gap(source=f"PHP-FPM pool {pool.name} {path}", reason=error.reason, hint=error.hint))
    return msgspec.structs.replace(pool, status=answer, answers_ping=pong)


def _page(host: Host, pool: PhpPool, apart: Target | None, path: str, until: float, *, is_full: bool) -> bytes:
    target = apart or pool.target
    left_s = until - time.monotonic()
    if target is None:
        raise HostError("its address is unknown")
    if is_full and apart is None:
        raise HostError("no child is free to answer it", "set pm.status_listen, which answers while the pool is full")
    if pool.network and not target.is_unix:
        raise HostError("it listens in another network namespace")
    if left_s <= 0.01:
        raise HostError(f"all pools together took longer than {STATUS_S:g} s")
    if target.is_unix and pool.root:
        target = Target(path=pool.root + target.path)
    elif target.is_wildcard:
        target = Target(host="127.0.0.1" if target.host == "0.0.0.0" else "::1", port=target.port)
    return status.page(host, target, path, timeout_s=left_s)


def _identity(host: Host, master: Master) -> tuple[int, int, str]:
    """Return a file's identity, whatever its name: device and inode, or its path if they are not readable."""
    where = Rights(host, master.owner_uid, master.root).own
    stat = attempt(partial(where.stat, master.config))
    return (stat.device, stat.inode, "") if stat else (0, 0, master.config)
