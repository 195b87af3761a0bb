"""Listening sockets: TCP of both address families and unix sockets, with their accept queues and owners.

They are read from the kernel by netlink (sock_diag(7)): only it reports the limit of an accept queue, and its answers cannot
be forged by the name of a socket. The fallback is /proc/net/tcp, tcp6 and unix (proc_pid_net(5)). Other network namespaces are
read through a process in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain, zip_longest

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.diagnosis.targets import peer_sets, routes
from why502.host.base import Host, KernelSocket, SocketTable
from why502.machine.attempt import attempt
from why502.machine.bound_files import View
from why502.machine.proc_net import parse_tcp, parse_unix
from why502.machine.process_table import ProcessTable, Stat, parse_status, without_crowds
from why502.model.config import Peer
from why502.model.errors import HostError
from why502.model.file_kind import FileKind
from why502.model.snapshot import Gap, Listener, Snapshot
from why502.model.target import Target

SECTION = "listeners"
NEEDS = ("addresses", "admin", "proxies")
LIMIT_S = 4.0
NETWORKS = 256  # maximum other network namespaces
LISTENERS = 10_000  # maximum listeners kept
REST_S = 1.0  # seconds for finding owners among the many children of one process
ROOTS = 16  # maximum roots of proxies in other mount namespaces, below which paths are looked up

_KERNEL_THREADS = 2  # parent of all kernel threads


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Listener, ...]]:
    """Return every listening socket of our and the other processes' network namespaces. Raises HostError."""
    table = ProcessTable(host)
    stats = table.stats()
    gaps: list[Gap] = []
    networks = _networks(table, known, stats, gaps)
    found = _asked(host, networks, gaps)
    found = _first(found, known, gaps)
    owners, unseen = _owners(host, stats, frozenset(one.inode for one in found if one.inode))
    if unseen:
        gaps.append(
            Gap(source="listeners", reason=f"no time was left to check whether {unseen} of {len(stats)} processes own a socket")
        )
    found = [msgspec.structs.replace(one, pids=owners.get(one.inode, ())) for one in found]
    unreadable = sum(1 for listener in found if not listener.pids)
    if (
        unreadable and attempt(partial(host.list, "/proc/1/fd")) is None
    ):  # the others belong to the kernel, or to another PID namespace
        gaps.append(
            Gap(source="listeners", reason=f"the owners of {unreadable} listening sockets are not visible", hint="run as root")
        )
    return Found(tuple(_placed(host, known, [_whole(host, one) for one in found], gaps)), tuple(gaps))


def _owners(host: Host, stats: Mapping[int, Stat], inodes: frozenset[int]) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the processes that hold each socket, and the number of processes skipped for lack of time.

    Of one process's many children, only those are examined that may have inherited a socket from it, or while a socket has no
    owner yet.
    """
    if not inodes:
        return {}, 0
    candidates = _candidates(stats)
    few = set(without_crowds({pid: stats[pid] for pid in candidates}))
    found, unseen = host.holders(inodes, sorted(few))
    holding = {pid for pids in found.values() for pid in pids}
    is_complete = all(inode in found for inode in inodes)
    rest = [pid for pid in candidates if pid not in few and (not is_complete or stats[pid].ppid in holding)]
    if not rest:
        return found, unseen
    more, left = host.holders(inodes, rest, timeout_s=REST_S)
    return {inode: (*found.get(inode, ()), *more.get(inode, ())) for inode in found.keys() | more.keys()}, unseen + left


def _candidates(stats: Mapping[int, Stat]) -> list[int]:
    """Return the processes that can hold a socket: not kernel threads or ended processes."""
    return [pid for pid, stat in stats.items() if stat.state != "Z" and stat.ppid != _KERNEL_THREADS]


def _networks(table: ProcessTable, known: Snapshot, stats: Mapping[int, Stat], gaps: list[Gap]) -> dict[str, int]:
    """Return the other network namespaces, each with a process in it: proxies' first, other user namespaces' last."""
    networks = {proxy.network: proxy.pid for proxy in known.proxies or () if proxy.network and proxy.pid}
    for pid, network in table.networks(without_crowds({pid: stats[pid] for pid in _candidates(stats)})).items():
        if network:
            networks.setdefault(network, pid)
    if len(networks) > NETWORKS:
        own = {proxy.network for proxy in known.proxies or ()}
        ranked = sorted(networks.items(), key=lambda each: (each[0] not in own, not table.is_of_our_users(each[1]), each[1]))
        gaps.append(Gap(source="listeners", reason=f"only {NETWORKS} of {len(networks)} network namespaces were examined"))
        return dict(ranked[:NETWORKS])
    return networks


def _asked(host: Host, networks: Mapping[str, int], gaps: list[Gap]) -> list[Listener]:
    """Return the listeners of our network namespace and of the others. Raises HostError if ours cannot be read."""
    found: list[Listener] = []
    try:
        own = host.sockets()[0]
        found += _from_kernel(own, "", gaps)
    except HostError as error:
        found += _read(host, "", "self", error.reason, gaps)
    others = (attempt(partial(host.sockets, *networks.values())) if networks else None) or ()
    for number, (network, pid) in enumerate(networks.items()):
        table = others[number] if number < len(others) else SocketTable(reason="the kernel could not be queried")
        try:
            if not table.reason and table.network == network:
                found += _from_kernel(table, network, gaps)
            else:
                found += _read(host, network, str(pid), table.reason or "the process is now a different one", gaps)
        except HostError as error:
            gaps.append(Gap(source="listeners", reason=f"network namespace of process {pid}: {error.reason}", hint=error.hint))
    return found


def _from_kernel(table: SocketTable, network: str, gaps: list[Gap]) -> list[Listener]:
    """Return the listeners of one network namespace from the kernel's answer."""
    if not table.is_whole:
        gaps.append(Gap(source="listeners", reason="too many listening sockets; only the first were read"))
    return [listener for one in table.sockets if (listener := _listener(one, network))]


def _listener(one: KernelSocket, network: str) -> Listener | None:
    """Return a kernel socket as a listener; None for an abstract unix socket, and for one without name or port."""
    if not one.is_listening or one.target.path.startswith("@") or not (one.target.path or one.target.port):
        return None
    return Listener(
        target=one.target,
        inode=one.inode,
        queued=one.queued,
        backlog=one.backlog,
        network=network,
        only_v6=one.only_v6,
        uid=one.uid,
        device=one.device,
        file_inode=one.file_inode,
    )


def _read(host: Host, network: str, pid: str, reason: str, gaps: list[Gap]) -> list[Listener]:
    """Return the listeners in the tables of /proc/PID/net; of unix sockets only those whose owner is certain."""
    read = partial(host.read, limit_bytes=64 << 20)
    tcp = read(f"/proc/{pid}/net/tcp")
    found: list[Listener] = []
    misfits = 0
    for content in (tcp, attempt(partial(read, f"/proc/{pid}/net/tcp6")) or b""):
        rows, bad = parse_tcp(content)
        found, misfits = found + rows, misfits + bad
    unix, bad = parse_unix(attempt(partial(read, f"/proc/{pid}/net/unix")) or b"")
    vouched = _vouched(host, unix)
    if misfits + bad:
        gaps.append(
            Gap(source="listeners", reason=f"{misfits + bad} rows of /proc/{pid}/net could not be parsed, or may be forged")
        )
    if doubtful := len(unix) - len(vouched):
        gaps.append(
            Gap(
                source="listeners",
                reason=f"{doubtful} listening unix sockets could not be distinguished from forged ones",
                hint="run as root",
            )
        )
    gaps.append(
        Gap(
            source="listeners",
            reason=f"accept queue limits: {reason}",
            hint="allow why502 to query the kernel by netlink (sock_diag)",
        )
    )
    return [msgspec.structs.replace(one, network=network) for one in (*found, *vouched)]


def _vouched(host: Host, found: list[Listener]) -> list[Listener]:
    """Return the unix listeners held by a process of root or of their file's owner: nobody else can have forged such a row."""
    pids = [int(name) for name in host.list("/proc") if name.isdecimal()] if found else []
    holders, _ = host.holders(frozenset(one.inode for one in found), pids) if found else ({}, 0)
    kept = []
    for one in (_whole(host, msgspec.structs.replace(one, pids=holders.get(one.inode, ()))) for one in found):
        file = attempt(partial(host.stat, one.target.path))
        uids = {_uid(host, pid) for pid in one.pids}
        if file is not None and file.kind is FileKind.SOCKET and uids & {0, file.uid}:
            kept.append(one)
    return kept


def _uid(host: Host, pid: int) -> int | None:
    """Return the effective uid of a process. /proc/PID itself may be owned by root if the process may not be traced."""
    content = attempt(partial(host.read, f"/proc/{pid}/status")) or b""
    words = parse_status(content.decode("utf-8", "replace")).get("Uid", "").split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


def _peers(known: Snapshot) -> Iterable[Peer]:
    return chain.from_iterable(peer_sets(routes(known)))


def _first(found: list[Listener], known: Snapshot, gaps: list[Gap]) -> list[Listener]:
    """Return the listeners to keep: first those that a proxy's targets may match, then each user's in turn."""
    if len(found) <= LISTENERS:
        return found
    gaps.append(Gap(source="listeners", reason=f"only {LISTENERS} of {len(found)} listening sockets were examined"))
    meant = {(peer.target.port, peer.target.path) for peer in _peers(known) if peer.target}
    meant |= {(target.port, target.path) for target in known.asked}
    first = [one for one in found if (one.target.port, one.target.path) in meant]
    by_user: dict[int | None, list[Listener]] = {}
    for one in found:
        if (one.target.port, one.target.path) not in meant:
            by_user.setdefault(one.uid, []).append(one)
    rest = (one for each in zip_longest(*by_user.values()) for one in each if one is not None)
    return [one for one, _ in zip(chain(_in_turns(first), rest), range(LISTENERS), strict=False)]


def _in_turns(found: Iterable[Listener]) -> list[Listener]:
    """Return the listeners, the first of each user first, so that one user's thousands do not crowd out another's only one."""
    counts: dict[int | None, int] = {}
    ranked = []
    for one in found:
        counts[one.uid] = counts.get(one.uid, 0) + 1
        ranked.append((counts[one.uid], one))
    return [one for _, one in sorted(ranked, key=lambda each: each[0])]


def _whole(host: Host, listener: Listener) -> Listener:
    """Return the listener with an absolute path: a relative one counts from its owner's working directory."""
    path = listener.target.path
    if not path or path.startswith("/") or not listener.pids:
        return listener
    directory = attempt(partial(host.link, f"/proc/{listener.pids[0]}/cwd"))
    if directory is None:
        return listener
    return msgspec.structs.replace(listener, target=Target(path=f"{directory.rstrip('/')}/{path}"))


def _placed(host: Host, known: Snapshot, found: list[Listener], gaps: list[Gap]) -> list[Listener]:
    """Return the listeners; for unix sockets with whether their path leads to them, seen from here or from a proxy in another
    root.

    A path alone proves little: the owner of a mount namespace can bind any path in it, and a file may be replaced while an
    older socket still listens.
    """
    roots = list(dict.fromkeys(("", *(proxy.root for proxy in known.proxies or () if proxy.root))))
    if len(roots) > ROOTS:
        gaps.append(
            Gap(source="listeners", reason=f"unix sockets were looked up as only {ROOTS} of {len(roots)} proxies see them")
        )
    views = [View(host, root) for root in roots[:ROOTS]]
    kept = []
    for one in found:
        path, is_at_path = one.target.path, None
        if path and one.device is not None and one.file_inode is not None:
            matches = [view.leads_to(path, one.device, one.file_inode) for view in views]
            is_at_path = True if True in matches else None if None in matches else False
        kept.append(msgspec.structs.replace(one, is_at_path=is_at_path))
    return kept
