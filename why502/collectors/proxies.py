"""The running proxies, or an installed nginx if none runs, each with its effective configuration."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial

import msgspec

from why502.collectors import other_installed, other_proxies, other_running
from why502.collectors.base import CollectOptions, Found
from why502.gateways.nginx import installed as nginx_installed
from why502.gateways.nginx.build import Build, build_option, read_build
from why502.gateways.nginx.command_line import Options, Title, is_nginx, parse_options, parse_title
from why502.gateways.nginx.effective import configured
from why502.host.base import Host
from why502.host.base import Stat as FileStat
from why502.host.trust import NOBODY
from why502.machine import suppliers
from why502.machine.attempt import attempt, each
from why502.machine.process_table import CLOCKS_S, ProcessTable, Stat, settled_first
from why502.machine.programs import located
from why502.machine.suppliers import Allowance, Rights
from why502.model.config import Peer
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, Snapshot

SECTION = "proxies"
NEEDS = ()
LIMIT_S = 10.0
PROXIES = 64
PROXIES_OF_USER = 4  # per user other than root: 70 masters that call themselves nginx must not hide the real one
GENERATIONS = 64
WORKERS = 64  # maximum workers examined per master

_OF_NGINX = "/usr/local/nginx/sbin"  # where `make install` puts it
_WORKER = "worker process"
_PREFIX = "/usr/local/nginx"  # default of nginx's auto/options


@dataclass(frozen=True, slots=True)
class Master:
    """A proxy's master process: its options, and the processes that claim to be its workers."""

    pid: int
    stat: Stat
    options: Options
    workers: tuple[tuple[int, Stat, Title], ...] = ()
    program: str = ""  # the name it was called by
    is_alone: bool = False  # `master_process off`: there are no workers
    owner_uid: int = 0  # the user who supplies its title


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Proxy, ...]]:
    """Return the proxies. With `ask.configs`, those that use these files. Raises HostError if no process is readable."""
    return list(parts(host, known, options))[-1]


def parts(host: Host, known: Snapshot, options: CollectOptions) -> Iterator[Found[tuple[Proxy, ...]]]:
    """Yield root's proxies and ours, then again with those of each other user. Raises HostError if no process is readable."""
    gaps: list[Gap] = []
    if options.offline:
        yield Found(tuple(_stopped(host, config, gaps) for config in options.configs), tuple(gaps))
        return
    table = ProcessTable(host)
    masters = _roots_first(host, find_masters(table), gaps)
    looks = [(master.owner_uid, partial(_nginx, host, table, master)) for master in masters]
    looks += [
        (uid, partial(other_running.one, host, table, pid, name, uid)) for uid, pid, name in other_running.masters(host, table)
    ]
    ours = (suppliers.ROOT, os.geteuid())
    looks.sort(key=lambda look: look[0] not in ours)
    idle = cache(lambda config: (_stopped(host, config, gaps),) if config else nginx_installed.all_stopped(host, gaps))
    allowances: dict[int, Allowance] = {}
    running: list[Proxy] = []
    absent = cache(lambda: other_installed.all_stopped(host, [proxy for proxy in running if proxy.owner_uid in ours], gaps))

    def one(item: tuple[int, Callable[[Allowance, list[Gap]], Proxy | None]]) -> tuple[Proxy, ...]:
        proxy = item[1](allowances.setdefault(item[0], Allowance()), gaps)
        return (proxy,) if proxy is not None else ()

    def missed(item: tuple[int, object], reason: str, hint: str) -> None:
        gaps.append(Gap(source="proxies", reason=f"a gateway of user {item[0]}: {reason}", hint=hint))

    for uid, look in looks:
        if uid not in ours:
            yield _asked_for(host, table, running, options, idle, absent, gaps)
        running += each([(uid, look)], one, missed)
    yield _asked_for(host, table, running, options, idle, absent, gaps)


def _nginx(host: Host, table: ProcessTable, master: Master, allowance: Allowance, gaps: list[Gap]) -> Proxy | None:
    try:
        return _running(host, table, master, allowance, gaps)
    except HostError as error:
        gaps.append(Gap(source="proxies", reason=f"nginx process {master.pid}: {error.reason}", hint=error.hint))
        return None


def _asked_for(
    host: Host,
    table: ProcessTable,
    running: list[Proxy],
    options: CollectOptions,
    idle: Callable[[str], tuple[Proxy, ...]],
    absent: Callable[[], Iterable[Proxy]],
    gaps: list[Gap],
) -> Found[tuple[Proxy, ...]]:
    """Return the running proxies that were asked for, and for stopped ones the result of `idle`.

    `idle` takes a main configuration; "" means those in the usual places. `absent` returns other stopped gateways that should
    run.
    """
    away: tuple[Gap, ...] = ()
    found: list[Proxy] = []
    if not options.configs:
        running = other_running.that_serve(running)
        if any(not proxy.network for proxy in running) and _is_sent_here(host, table):
            here = [proxy for proxy in running if not proxy.network]
            if count := len(running) - len(here):
                reason = f"{count} nginx masters in other network namespaces were skipped: why502 was started inside this one"
                away = (Gap(source="proxies", reason=reason, hint="start it outside the namespace, or use --config"),)
            running = here
        found += (*running, *absent(), *idle_nginx(running, idle))
    for config in options.configs:
        users = [proxy for proxy in running if not proxy.is_apart and _same(host, proxy.config, config)]
        found += users or idle(config)
    return Found(tuple(map(_in_its_network, found)), (*gaps, *away))


def _in_its_network(proxy: Proxy) -> Proxy:
    """Return the proxy; if it has another network namespace, its peers refer to it: their names and addresses have their own
    meaning there. Routes that had the same peers still have the same.
    """
    if not proxy.network:
        return proxy
    made: dict[int, tuple[Peer, ...]] = {}

    def peers(old: tuple[Peer, ...]) -> tuple[Peer, ...]:
        if id(old) not in made:
            made[id(old)] = tuple(msgspec.structs.replace(peer, network=proxy.network) for peer in old)
        return made[id(old)]

    return msgspec.structs.replace(
        proxy,
        routes=tuple(msgspec.structs.replace(route, peers=peers(route.peers)) for route in proxy.routes),
        upstreams=tuple(msgspec.structs.replace(group, peers=peers(group.peers)) for group in proxy.upstreams),
    )


def idle_nginx(running: list[Proxy], idle: Callable[[str], tuple[Proxy, ...]]) -> Iterator[Proxy]:
    """Yield the nginx configurations without a running process of ours; beside another gateway only those of a unit that should
    run, and that passes requests on or is a backend of the other.

    Another user's process says nothing about the installed nginx.
    """
    kinds = {proxy.kind for proxy in running if proxy.owner_uid in (suppliers.ROOT, os.geteuid())}
    if nginx_installed.KIND in kinds:
        return
    for proxy in idle(""):
        should_run = proxy.unit_state == "failed" or proxy.unit_state.startswith("enabled")
        if not kinds or (should_run and (proxy.routes or _is_backend(proxy, running))):
            yield proxy


def _is_backend(proxy: Proxy, running: Iterable[Proxy]) -> bool:
    """Return whether a running gateway passes requests to a port of this machine on which the other one would listen."""
    ports = {target.port for target in proxy.listens if not target.is_unix}
    peers = (peer.target for other in running for route in other.routes for peer in route.peers)
    return any(target is not None and target.is_loopback and target.port in ports for target in peers)


def _roots_first(host: Host, masters: list[Master], gaps: list[Gap]) -> list[Master]:
    """Return the masters to examine, each with its owner: root's, then ours, then a few of each other user."""
    owned = []
    for master in masters:
        uid = attempt(partial(suppliers.of_process, host, master.pid))
        owned.append(replace(master, owner_uid=NOBODY if uid is None else uid))
    ours = os.geteuid()
    owned.sort(key=lambda master: (master.owner_uid != suppliers.ROOT, master.owner_uid != ours, master.pid))
    taken: Counter[int] = Counter()
    kept: list[Master] = []
    for master in owned:
        taken[master.owner_uid] += 1
        most = PROXIES if master.owner_uid in (suppliers.ROOT, ours) else PROXIES_OF_USER
        if taken[master.owner_uid] <= most and len(kept) < PROXIES:
            kept.append(master)
    if len(kept) < len(masters):
        gaps.append(Gap(source="proxies", reason=f"only {len(kept)} of {len(masters)} nginx masters were examined"))
    return kept


def _is_sent_here(host: Host, table: ProcessTable) -> bool:
    """Return whether we were started in a foreign network namespace (`ip netns exec`, nsenter): an ancestor of ours is in
    another.
    """
    pid = attempt(partial(host.link, "/proc/self")) or ""
    stats = table.stats()
    above = stats.get(int(pid)) if pid.isdigit() else None
    for _ in range(GENERATIONS):
        if above is None or above.ppid not in stats:
            return False
        if table.network(above.ppid):
            return True
        above = stats[above.ppid]
    return False


def _stopped(host: Host, config: str, gaps: list[Gap]) -> Proxy:
    """Return the proxy that a configuration file describes, of any product."""
    other = other_proxies.given(host, config, gaps)
    if other is not None:
        return other
    found = nginx_installed.stopped(host, config, "", gaps)
    return found if found.routes or found.servers else other_proxies.part(host, config) or found


def find_masters(table: ProcessTable) -> list[Master]:
    """Return the serving nginx processes, by pid, without those that only test or signal another. Raises HostError."""
    stats, lines = table.stats(), table.titles(is_nginx)
    titles: dict[int, Title] = {}
    single: dict[int, tuple[str, Options]] = {}
    for pid, stat in stats.items():
        if stat.state == "Z" or not (argv := lines.get(pid)):
            continue
        if (title := parse_title(argv)) is not None and (is_nginx(title.product) or is_nginx(stat.name)):
            titles[pid] = title
        elif is_nginx(stat.name) and is_nginx(argv[0]) and not (options := parse_options(argv[1:])).is_action:
            single[pid] = (argv[0], options)
    masters = {pid for pid, title in titles.items() if title.role == "master process"}
    parents = {stats[pid].ppid for pid in titles}
    # A just forked worker still has its master's title, and no children; a new master after USR2 has some.
    begun = {pid for pid in masters if stats[pid].ppid in masters and pid not in parents}
    found = []
    for pid in masters - begun:
        workers = tuple(
            (child, stats[child], Title(title.product, _WORKER) if child in begun else title)
            for child, title in titles.items()
            if stats[child].ppid == pid and (child in begun or child not in masters)
        )
        words = titles[pid].words
        found.append(Master(pid, stats[pid], parse_options(words[1:]), workers, program=words[0] if words else ""))
    # `master_process off` sets no title; neither does a process that has just started below its own master.
    found += [
        Master(pid, stats[pid], options, program=program, is_alone=True)
        for pid, (program, options) in single.items()
        if stats[pid].ppid not in {*titles, *single}
    ]
    return sorted(found, key=lambda master: master.pid)


def _running(host: Host, table: ProcessTable, master: Master, allowance: Allowance, gaps: list[Gap]) -> Proxy:
    process = table.process(master.pid)
    rights = Rights(host, master.owner_uid, process.root, allowance)
    seen = rights.own
    exe = process.exe.removesuffix(" (deleted)") or _program(seen, master.program)
    build = _build(host.acting_as(master.owner_uid), seen, process, exe, gaps)
    options = master.options
    if options.prefix and not options.prefix.startswith("/") and not process.cwd:
        raise HostError(f"its working directory, to which its prefix {options.prefix} is relative, cannot be read", "run as root")
    directory = posixpath.join(process.cwd, options.prefix) if options.prefix else build_option(build.options, "prefix")
    prefix = posixpath.normpath(directory or _PREFIX)
    config = posixpath.join(prefix, options.config or build_option(build.options, "conf-path") or "conf/nginx.conf")
    looks = [attempt(partial(table.process, pid)) for pid, _, title in master.workers[:WORKERS] if title.role == _WORKER]
    workers = (process,) if master.is_alone else settled_first(process, (worker for worker in looks if worker is not None))
    proxy = Proxy(
        pid=master.pid,
        exe=exe,
        version=build.version,
        build=build.options,
        config=posixpath.normpath(config),
        prefix=prefix,
        root=process.root,
        network=process.network,
        workers=workers,
        unit=process.unit,
        loaded_at=_loaded_at(table, master),
        options=tuple(_options(options)),
        owner_uid=master.owner_uid,
    )
    proxy = configured(proxy, rights, gaps)
    is_apart = bool(process.root) and not all(_is_one(host, seen, file.path) for file in proxy.files)
    return msgspec.structs.replace(proxy, user=workers[0].user if workers else proxy.user or process.user, is_apart=is_apart)


def _program(seen: Host, name: str) -> str:
    """Return the path of a program called by this name, "" if it is unknown."""
    if name.startswith("/"):
        return name if attempt(partial(seen.stat, name)) is not None else ""
    return located(seen, name, _OF_NGINX) if name else ""


def _build(host: Host, seen: Host, process: Process, exe: str, gaps: list[Gap]) -> Build:
    """Return the build of its binary: the running one, else the one now at its path."""
    try:
        build = read_build(host, f"/proc/{process.pid}/exe")
    except HostError as error:
        build = attempt(partial(read_build, seen, exe)) or Build()
        if not build.version:
            gaps.append(Gap(source="proxies", reason=f"version of nginx process {process.pid}: {error.reason}", hint=error.hint))
    return build


def _loaded_at(table: ProcessTable, master: Master) -> datetime | None:
    """Return the start time of its oldest worker that is not shutting down: at or after the last load; later by the possible
    difference of the clocks.
    """
    workers = [stat for _, stat, title in master.workers if title.role == _WORKER and not title.is_leaving]
    # a hung worker may be from an earlier load without having noticed
    awake = [stat for stat in workers if stat.state not in "TtD"]
    oldest = min(awake or workers, key=lambda stat: stat.started_s, default=master.stat)
    started_at = table.started_at(oldest)
    return started_at + timedelta(seconds=CLOCKS_S) if started_at else None


def _options(options: Options) -> list[str]:
    given = (("-c", options.config), ("-p", options.prefix), ("-e", options.error_log), ("-g", options.directives))
    return [word for letter, value in given if value for word in (letter, value)]


def _same(host: Host, one: str, other: str) -> bool:
    """Return whether two paths lead to the same file."""
    return one == other or _are_one(attempt(partial(host.stat, one)), attempt(partial(host.stat, other)))


def _is_one(host: Host, seen: Host, path: str) -> bool:
    """Return whether a path leads to the same file for us and for the proxy: systemd's PrivateTmp= covers only /tmp."""
    return _are_one(attempt(partial(host.stat, path)), attempt(partial(seen.stat, path)))


def _are_one(first: FileStat | None, second: FileStat | None) -> bool:
    return first is not None and second is not None and (first.device, first.inode) == (second.device, second.inode)
