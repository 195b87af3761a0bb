"""Counters, limits and socket tables of the kernel in the network namespaces of the proxy and its backends.

proc(5), proc_sys_net(5), Documentation/networking/nf_conntrack-sysctl.rst. The counters count since boot, so they are read
twice, a moment apart.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from why502.collectors import backend
from why502.collectors.base import CollectOptions, Found
from why502.collectors.owners import owners, wanted
from why502.host.base import Host
from why502.machine import sockets
from why502.machine.sockets import Socket
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Kernel, Snapshot
from why502.model.target import Target
from why502.model.times import whole_number

SECTION = "kernel"
NEEDS = ("processes",)
LIMIT_S = 2.5
_LOOK_S = 0.1  # seconds between two readings of a counter
_NAMESPACES = 8  # maximum namespaces of proxies, and of backends
_ALLOW = "run why502 as root"
_PARTS = 3  # minimum parts of an SELinux context: user, role, type


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[Kernel]:
    """Return the kernel's counters. Unreadable fields are None, with a gap unless that is expected."""
    gaps: list[Gap] = []
    proxies = {one.network: one.pid for one in known.proxies or () if one.is_running}  # a process in each namespace
    network, pid = next(iter(proxies.items()), ("", None))
    away = pid if network else None
    fronts, directories = tables_of(known)
    directory = fronts[0]

    before, began, blocked = _overflows(host, directories), backend.ticks(host, known), backend.blocked(host, known)
    until = time.monotonic() + _LOOK_S
    values: dict[str, object] = {**limits_of(host, away), **conntrack_of(host, directory, away)}
    values["security_modules"] = security_modules(host)
    tables = _tables(host, directories, gaps)
    if tables:
        values |= _towards(known, tables, len(fronts))
    if began or before:
        time.sleep(max(0.0, until - time.monotonic()))
    ended = backend.ticks(host, known)
    values["backend_cpu"] = Kernel.by_name(backend.processors(began, ended))
    values["backend_kept_waiting"] = Kernel.by_name(backend.kept_waiting(began, ended))
    values["backend_blocked"] = Kernel.by_name(blocked | backend.blocked(host, known))  # the wait may be over at either reading
    if before is None:
        gaps.append(
            Gap(source=f"{directory}/netstat", reason="the counters of full accept queues could not be read", hint=_ALLOW)
        )
    else:
        now = (_overflows(host, directories) or before) if before else before
        values |= {"listen_overflows": now, "listen_overflows_now": max(0, now - before)}
    return Found(msgspec.convert(values, Kernel), tuple(gaps))


def security_modules(host: Host) -> tuple[str, ...] | None:
    """Return the active security modules; None if they cannot be read.

    If securityfs is not mounted, as in a container, a process's own label decides: without a labelling module, reading it is
    an invalid argument (proc_pid_attr(5)).
    """
    try:
        return tuple(host.read("/sys/kernel/security/lsm", limit_bytes=4096).decode("ascii", "replace").strip().split(","))
    except HostError:
        pass
    try:
        label = host.read("/proc/self/attr/current", limit_bytes=4096).decode("utf-8", "replace").strip("\0\n ")
    except HostError as error:
        return () if error.errno == errno.EINVAL else None
    return ("selinux",) if label.count(":") >= _PARTS - 1 else ("apparmor",) if label else None


def tables_of(known: Snapshot) -> tuple[list[str], list[str]]:
    """Return the directories of the socket tables: of the proxies' network namespaces, and of these plus the backends'."""
    proxies = {one.network: one.pid for one in known.proxies or () if one.is_running}
    fronts = [f"/proc/{pid}/net" if network else "/proc/net" for network, pid in proxies.items()][:_NAMESPACES] or ["/proc/net"]
    return fronts, list(dict.fromkeys((*fronts, *_backend_directories(known, proxies))))


def parse_netstat(content: bytes) -> dict[str, int]:
    """Return the counters of /proc/net/netstat or snmp by `Group.Name`. Each group is a line of names, then a line of numbers."""
    lines = content.decode("ascii", "replace").splitlines()
    counters: dict[str, int] = {}
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        group, _, rest = names.partition(":")
        same, _, values = numbers.partition(":")
        if group == same:
            pairs = zip(rest.split(), values.split(), strict=False)
            counters |= {
                f"{group}.{name}": int(value) for name, value in pairs if whole_number(value.removeprefix("-")) is not None
            }
    return counters


def parse_file_nr(content: bytes) -> tuple[int, int] | None:
    """Return the descriptors in use and their limit from /proc/sys/fs/file-nr (allocated, free, limit)."""
    words = content.split()
    if len(words) != 3 or not all(word.isdigit() for word in words):
        return None
    return int(words[0]) - int(words[1]), int(words[2])


def parse_conntrack(content: bytes) -> int | None:
    """Return the entries from /proc/net/stat/nf_conntrack: hexadecimal, one row per processor, the same in each."""
    lines = content.decode("ascii", "replace").splitlines()
    if len(lines) < 2 or "entries" not in (names := lines[0].split()):
        return None
    try:
        row = dict(zip(names, (int(word, 16) for word in lines[1].split()), strict=False))
    except ValueError:
        return None
    return row.get("entries", 0)


def towards(
    wanted: Iterable[Target], tcp: list[Socket], unix: list[Socket], bound: Mapping[str, str] | None = None
) -> tuple[dict[tuple[Target, str], int], dict[Target, int]]:
    """Return sockets by target and state, and local ports in use by target: the client side of each connection.

    `bound` maps other paths of unix sockets to the paths they were bound to.
    """
    connections: Counter[tuple[Target, str]] = Counter()
    ports: dict[Target, set[bytes]] = {}
    if not tcp and not unix:
        return {}, {}
    forms = {form: target for target in wanted for form in sockets.names(_at(target, bound or {}))}
    for row in tcp:
        if target := forms.get(row.remote):
            connections[target, row.state] += 1
            ports.setdefault(target, set()).add(row.local)
    for row in unix:
        if row.state in {sockets.ESTABLISHED, sockets.QUEUED} and (target := forms.get(row.local)):
            connections[target, row.state] += 1
    return dict(connections), {target: len(local) for target, local in ports.items()}


def _at(target: Target, bound: Mapping[str, str]) -> Target:
    """Return the target with the socket path known to the kernel."""
    return Target(path=bound[target.path]) if target.path in bound else target


def _towards(known: Snapshot, tables: list[tuple[list[Socket], list[Socket]]], fronts: int) -> dict[str, object]:
    rows = ([row for tcp, _ in tables[:fronts] for row in tcp], [row for _, unix in tables[:fronts] for row in unix])
    bound = {name: listener.target.path for listener in known.listeners or () for name in listener.names}
    connections, ports = towards(wanted(known), *rows, bound)
    sides = {}
    ends = [(sockets.Ends(tcp), sockets.Ends(unix)) for tcp, unix in tables]
    for target in owners(known):
        at = _at(target, bound)
        uses = [sockets.use(at, tcp.at(at), unix.at(at)) for tcp, unix in ends]
        sides[target] = max(uses, key=lambda use: use.held + use.queued)
    return {
        "connections": {Kernel.name(*of): count for of, count in connections.items()},
        "ports_used": Kernel.by_name(ports),
        "accepted": Kernel.by_name({target: use.held for target, use in sides.items()}),
        "unaccepted": Kernel.by_name({target: use.queued for target, use in sides.items()}),
        "abandoned": Kernel.by_name({target: use.abandoned for target, use in sides.items() if use.abandoned is not None}),
    }


def _tables(host: Host, directories: list[str], gaps: list[Gap]) -> list[tuple[list[Socket], list[Socket]]]:
    tables: list[tuple[list[Socket], list[Socket]]] = []
    for directory, unix in zip(directories, sockets.read_unix_each(host, directories), strict=True):
        try:
            tcp, is_whole = sockets.read_tcp(host, directory)
            if isinstance(unix, sockets.Unread):
                raise HostError(unix.reason, unix.hint)
            tables.append((tcp, unix))
            if not is_whole:
                gaps.append(Gap(source=f"{directory}/tcp", reason="too many sockets; only the first were counted"))
        except HostError as error:
            gaps.append(Gap(source=f"{directory}/tcp", reason=error.reason, hint=error.hint or _ALLOW))
            if not tables:  # the proxy's own table is required; the others only add to it
                return []
            tables.append(([], []))
    return tables


def _backend_directories(known: Snapshot, proxies: Iterable[str]) -> Iterable[str]:
    seen = set(proxies)
    away = [(one.network, pid) for one in known.listeners or () if one.network for pid in one.pids[:1]]
    mine = {pid for pids in owners(known).values() for pid in pids}
    for network, pid in away:
        if pid in mine and network not in seen and len(seen) < 2 * _NAMESPACES:
            seen.add(network)
            yield f"/proc/{pid}/net"


def _overflows(host: Host, directories: list[str]) -> int | None:
    """Return the sum of overflows; None if the first namespace cannot be read."""
    overflows = 0
    for number, directory in enumerate(directories):
        try:
            counters = parse_netstat(host.read(f"{directory}/netstat"))
        except HostError:
            if number == 0:
                return None
            continue
        overflows += counters.get("TcpExt.ListenOverflows", 0)
    return overflows


def limits_of(host: Host, away: int | None) -> dict[str, int | None]:
    """Return the range of local ports, and the machine's open files and their limit, by the fields of `Kernel`.

    `away`: a process in the network namespace, None for ours.
    """
    ports = _numbers(_setting(host, "/proc/sys/net/ipv4/ip_local_port_range", away))
    files = parse_file_nr(_setting(host, "/proc/sys/fs/file-nr", None))
    return {
        "ports_first": ports[0] if len(ports) == 2 else None,
        "ports_last": ports[1] if len(ports) == 2 else None,
        "files_open": files[0] if files else None,
        "files_max": files[1] if files else None,
    }


def conntrack_of(host: Host, directory: str, away: int | None) -> dict[str, int | None]:
    """Return size and limit of the connection tracking table; all None without the kernel module."""
    count = _numbers(_setting(host, "/proc/sys/net/netfilter/nf_conntrack_count", away))
    most = _numbers(_setting(host, "/proc/sys/net/netfilter/nf_conntrack_max", away))
    try:
        entries = parse_conntrack(host.read(f"{directory}/stat/nf_conntrack"))
    except HostError:
        entries = None
    return {
        "conntrack_count": count[0] if count else entries,
        "conntrack_max": most[0] if most else None,
    }


def _setting(host: Host, path: str, away: int | None) -> bytes:
    """Return a sysctl, b"" if it cannot be read. /proc/sys/net shows the reader's namespace: another needs setns(2)."""
    try:
        if away is None:
            return host.read(path)
        done = host.run("nsenter", f"--net=/proc/{away}/ns/net", "cat", path, timeout_s=1.0)
    except HostError:
        return b""
    return done.stdout.encode() if done.status == 0 else b""


def _numbers(content: bytes) -> list[int]:
    return [int(word) for word in content.split() if word.isdigit()]
