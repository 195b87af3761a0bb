"""The dependencies that the processes behind a target wait for: their connections, their log messages, and the state of the
peer.

A waiting worker's system call shows the socket it waits on (/proc/PID/task/TID/syscall, proc_pid_syscall(5)). SYN_SENT is a
connection that nobody answers. Some databases show the activity of each process in its title (PostgreSQL:
update_process_title), and thus the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec

from why502.collectors import kernel, served_connections
from why502.collectors.base import CollectOptions, Found
from why502.collectors.dependency_units import elsewhere, is_here, listener_at, owner_of, with_units
from why502.collectors.owners import owners
from why502.diagnosis.listening import takes
from why502.diagnosis.needs import named_in, need_of
from why502.diagnosis.targets import addresses, routes
from why502.host.base import Host
from why502.machine import sockets
from why502.machine.attempt import attempt
from why502.machine.sockets import Socket
from why502.model.errors import Denied, HostError, Missing
from why502.model.logs import PathTraffic, Symptom
from why502.model.patterns import lazy
from why502.model.snapshot import Dependency, Gap, Listener, Snapshot
from why502.model.target import Target
from why502.supervisors.pm2.variables import is_daemon, worker_variables

SECTION = "dependencies"
NEEDS = ("events", "kernel")
LIMIT_S = 2.5
PROCESSES = 64
THREADS = 64
PEERS = 16  # maximum per target
CLUSTER = 4  # workers whose variables are read
TITLES = 4
_TIMES = ("lastsnd:", "lastrcv:", "bytes_sent:", "bytes_received:")
LONGEST_MS = 300_000  # a connection that is silent for longer is an idle tunnel, no request
OWES_MS = 1000  # time since we sent data after which an answer counts as overdue
# the third retransmission is more than a second after the first (0.2 s, doubled each time): more than a single lost packet
RETRIES = 3
SYN_SENT = "SYN_SENT"
_OF_THE_SYSTEM = ("/run/systemd/", "/run/dbus/", "/var/run/dbus/", "/dev/", "/run/user/", "/run/nscd/", "/var/run/nscd/", "@")
# System calls whose first argument is the socket, and those that wait for one among several (include/uapi/asm/unistd.h).
_ON_SOCKET = {"x86_64": {0, 1, 42, 44, 45, 46, 47}, "aarch64": {63, 64, 203, 206, 207, 211, 212}}
_ON_SOME = {"x86_64": {7, 23, 232, 270, 271, 281}, "aarch64": {22, 72, 73}}
_SELECT = {"x86_64": {23, 270}, "aarch64": {72}}  # their first argument is the number of descriptors; 0 is a sleep
HURT, FEW = 16, 3  # maximum targets, and minimum failures of one


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The sockets of the machine by inode: TCP sockets as rows, unix sockets by the path on which they were accepted or
    connected.
    """

    rows: dict[int, Socket]
    accepted: dict[int, str]
    peers: dict[int, str]
    machine: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waits:
    """The activity of one process's threads: the sockets they wait on, and whether they hold a client's connection."""

    busy: int
    on: Counter[Target]
    # threads that wait for one of several sockets, or may not be workers: counted if the peer owes an answer
    perhaps: Counter[Target]
    connecting: Counter[Target]
    unacknowledged: Counter[Target]
    ports: dict[Target, set[int]]  # local ports of the connections


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A TCP connection, and the milliseconds since data was last sent and received on it; None if none ever was."""

    local: Target
    remote: Target
    sent_ms: int | None
    received_ms: int | None


_CLIENT = lazy(r"\((\d{2,5})\) (\S[^\n]{0,79})")  # a client's port, and what its server process does for it


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Dependency, ...]]:
    """Return the addresses each target's processes are connected to or need according to their configuration. Raises
    HostError.
    """
    _, directories = kernel.tables_of(known)
    tables = [table for directory in directories if (table := attempt(partial(sockets.read_tcp, host, directory)))]
    rows = {row.inode: row for tcp, _ in tables for row in tcp if row.inode and row.state != sockets.LISTEN}
    seen = Seen(
        rows=rows,
        accepted={
            row.inode: row.local.decode("utf-8", "replace")
            for unix in sockets.read_unix_each(host, directories)
            for row in (() if isinstance(unix, sockets.Unread) else unix)
            if row.state == sockets.ESTABLISHED
        },
        peers=_unix_peers(host),
        machine=next(iter(done.stdout.split()), "") if (done := attempt(partial(host.run, "uname", "-m", timeout_s=1.0))) else "",
    )
    gaps: list[Gap] = []
    found: list[Dependency] = []
    left = PROCESSES
    looked: list[tuple[Target, tuple[int, ...], list[Waits]]] = []
    for target, pids in owners(known).items():
        waits: list[Waits] = []
        for pid in [pid for pid in _with_children(known, pids) if _is_worker(known, pid)][:left]:
            left -= 1
            try:
                waits.append(_waits(host, known, target, pid, seen))
            except Missing:  # it has ended
                continue
            except HostError as error:
                gaps.append(Gap(source=f"/proc/{pid}/fd", reason=error.reason, hint=error.hint or "run why502 as root"))
                break
        looked.append((target, tuple(pids), waits))
    failing = _failing(known)
    asked = {peer for target, _, waits in looked if target in failing for one in waits for peer in one.perhaps}
    exchanges = _exchanges(host, asked, {target for target, _, _ in looked if target in failing and not target.is_unix})
    late = _overdue(exchanges)
    idle: dict[int, int | None] = {}
    for target, pids, waits in looked:
        for one in _of_target(known, target, waits, _variables(host, known, pids), late):
            worked_on = 0
            if one.peer in asked and served_connections.has_a_thread_each(one):
                try:
                    worked_on = _worked_on(host, one, _silent(exchanges, one.peer, waits), idle, seen.machine)
                except Denied as error:
                    gaps.append(served_connections.denied(one, error))
            found.append(_unanswered(one, exchanges, worked_on))
    return Found(tuple(with_units(host, known, found, failing)), tuple(gaps))


def _exchanges(host: Host, peers: Iterable[Target], targets: Iterable[Target]) -> list[Exchange]:
    """Return the open connections to some peers and those of some targets' clients (tcp(7), TCP_INFO)."""
    wanted = sorted((peer for peer in peers if not peer.is_unix and peer.is_address), key=str)[:PEERS]
    if not wanted:
        return []
    served = sorted((target for target in targets if target.is_address), key=str)[:PEERS]
    places = [word for peer in wanted for word in ("or", "dst", "=", str(peer))]
    places += [word for target in served for word in ("or", "src", "=", str(target))]
    shown = attempt(partial(host.run, "ss", "-tinH", "state", "established", "(", *places[1:], ")", timeout_s=1.0))
    return list(parse_exchanges(shown.stdout if shown else ""))


def _overdue(exchanges: Iterable[Exchange]) -> dict[Target, set[int]]:
    """Return the local ports of connections to some peers on which we sent last, a while ago: the peer owes an answer."""
    found: dict[Target, set[int]] = {}
    for one in exchanges:
        sent_ms, received_ms = one.sent_ms, one.received_ms
        if sent_ms is not None and sent_ms >= OWES_MS and (received_ms is None or received_ms > sent_ms):
            found.setdefault(one.remote, set()).add(one.local.port)
    return found


def _silent(exchanges: Iterable[Exchange], peer: Target, waits: Iterable[Waits]) -> int:
    """Return how many connections of some processes to a peer have carried nothing for a while."""
    ports = {port for one in waits for port in one.ports.get(peer, ())}
    return sum(
        one.remote == peer
        and one.local.port in ports
        and all(age is None or age >= OWES_MS for age in (one.sent_ms, one.received_ms))
        for one in exchanges
    )


def _worked_on(host: Host, one: Dependency, silent: int, idle: dict[int, int | None], machine: str) -> int:
    """Return on how many silent connections the peer works at least: each thread that waits for a client may wait for one of
    them. Raises Denied.
    """
    if not silent or one.pid is None:
        return 0
    if one.pid not in idle:
        idle[one.pid] = served_connections.idle_threads(host, one.pid, machine)
    waiting = idle[one.pid]
    return 0 if waiting is None else max(0, silent - waiting)


def _unanswered(one: Dependency, exchanges: list[Exchange], worked_on: int = 0) -> Dependency:
    """Return a dependency with the requests that wait while a shared connection to it stays silent, or that its peer works on.

    A server with an event loop sends the queries of many requests on one connection. A request waits for its peer if, since it
    arrived, the server has sent something on such a connection and nothing has come back. On a connection that is opened for
    the request the peer's greeting has come back since; `worked_on` counts those on which it works.
    """
    if not one.busy or one.waiting >= one.busy or one.connecting:
        return one
    ages = [
        each.received_ms
        for each in exchanges
        if each.local == one.target
        and each.received_ms is not None
        and OWES_MS <= each.received_ms <= LONGEST_MS
        and (each.sent_ms is None or each.sent_ms > each.received_ms)
    ]
    silent = [each for each in exchanges if each.remote == one.peer and each.sent_ms is not None]
    waiting = max((sum(_is_silent_since(each, age) for age in ages) for each in silent), default=0)
    waiting = max(waiting, min(worked_on, len(ages)))
    if waiting <= one.waiting:
        return one
    return msgspec.structs.replace(one, waiting=waiting, busy=len(ages))


def _is_silent_since(one: Exchange, age_ms: int) -> bool:
    """Return whether data was sent on a connection in the last `age_ms`, and none received."""
    is_heard = one.received_ms is not None and one.received_ms < age_ms
    return one.sent_ms is not None and one.sent_ms <= age_ms and not is_heard


def parse_exchanges(output: str) -> Iterator[Exchange]:
    """Yield each connection of `ss -ti` on which data was sent or received.

    If nothing was ever received (or sent), the kernel counts from connection setup, and shows no bytes (ss(8)).
    """
    ends: tuple[Target, Target] | None = None
    for line in output.splitlines():
        words = line.split()
        if not line[:1].isspace():
            places = [target for word in words[2:4] if (target := _v4(Target.parse(word))) is not None]
            ends = (places[0], places[1]) if len(places) == 2 else None
        elif ends is not None:
            values = dict(word.split(":", 1) for word in words if word.startswith(_TIMES))
            sent, received = values.get("lastsnd", ""), values.get("lastrcv", "")
            if sent.isdecimal() and received.isdecimal() and ("bytes_sent" in values or "bytes_received" in values):
                yield Exchange(
                    local=ends[0],
                    remote=ends[1],
                    sent_ms=int(sent) if "bytes_sent" in values else None,
                    received_ms=int(received) if "bytes_received" in values else None,
                )


def _v4(target: Target | None) -> Target | None:
    """Return an IPv4 address in its own form if an IPv6 socket shows it mapped."""
    return Target(host=target.host[7:], port=target.port) if target and target.host.startswith("::ffff:") else target


def _unix_peers(host: Host) -> dict[int, str]:
    return attempt(partial(sockets.read_unix_peers, host)) or {}


def _with_children(known: Snapshot, pids: Iterable[int]) -> tuple[int, ...]:
    # systemd holds the sockets of others, and is every daemon's parent. In a container pid 1 is the application.
    init = {process.pid for process in known.processes or () if process.is_init}
    mine = tuple(pid for pid in pids if pid not in init)
    return tuple(dict.fromkeys((*mine, *(p.pid for p in known.processes or () if p.ppid in mine))))


def _is_worker(known: Snapshot, pid: int) -> bool:
    return not any(pid in proxy.pids for proxy in known.proxies or ())


def _waits(host: Host, known: Snapshot, target: Target, pid: int, seen: Seen) -> Waits:
    """Return the sockets that a process's threads wait for. Raises HostError."""
    by_descriptor = _descriptors(host, pid)
    is_its = _ends(known, target)
    held = {
        fd
        for fd, inode in by_descriptor.items()
        if (row := seen.rows.get(inode))
        and is_its(row)
        and row.state in (sockets.ESTABLISHED, sockets.CLOSE_WAIT)  # a proxy that gave up has closed its end
    }
    if target.is_unix:
        paths = _paths(known, target)
        held = {fd for fd, inode in by_descriptor.items() if seen.accepted.get(inode) in paths}
    own = {(row.local, row.remote) for inode in by_descriptor.values() if (row := seen.rows.get(inode))}
    others = {
        fd: inode
        for fd, inode in by_descriptor.items()
        if fd not in held and not ((row := seen.rows.get(inode)) and ((row.remote, row.local) in own or _is_accepted(known, row)))
    }
    peers = {fd: peer for fd, inode in others.items() if (peer := _peer(seen.rows.get(inode), seen.peers.get(inode)))}
    peers = {fd: peer for fd, peer in peers.items() if not _is_its_end(seen.rows, by_descriptor[fd], is_its)}
    peers = {fd: peer for fd, peer in peers.items() if not _is_own(known, peer, target)}
    connecting: Counter[Target] = Counter()
    on: Counter[Target] = Counter()
    perhaps: Counter[Target] = Counter()
    unacknowledged: Counter[Target] = Counter()
    ports: dict[Target, set[int]] = {}
    for fd, peer in peers.items():
        row = seen.rows.get(by_descriptor[fd])
        if row is not None and row.state == SYN_SENT:
            connecting[peer] += 1
        elif row is not None and (local := sockets.place(row.local)):
            ports.setdefault(peer, set()).add(local.port)
            unacknowledged[peer] += row.retries >= RETRIES
    established = {fd: peer for fd, peer in peers.items() if peer not in connecting}
    calls, is_alone = list(_calls(host, pid)), _is_alone(host, pid)
    for call, first in calls:
        if call in _ON_SOCKET.get(seen.machine, ()) and first in established:
            on[established[first]] += 1
        elif call in _ON_SOME.get(seen.machine, ()) and held and (first or call not in _SELECT.get(seen.machine, ())):
            ends = set(established.values())
            # With several threads, those that wait for clients or timers also poll.
            (on if is_alone and len(ends) == 1 else perhaps).update(ends)
    return Waits(busy=len(held), on=on, perhaps=perhaps, connecting=connecting, unacknowledged=unacknowledged, ports=ports)


def _is_its_end(rows: dict[int, Socket], inode: int, is_its: Callable[[Socket], bool]) -> bool:
    """Return whether a socket is the target's end of a connection, in any state."""
    row = rows.get(inode)
    return row is not None and is_its(row)


def _is_accepted(known: Snapshot, row: Socket) -> bool:
    """Return whether a socket is the server end of a connection: a client of another listener of the same process, not a
    dependency.
    """
    local = sockets.place(row.local)
    return local is not None and any(takes(one, local) for one in known.listeners or ())


def _is_alone(host: Host, pid: int) -> bool:
    """Return whether a process has a single thread: then its request waits for the same thing."""
    return len(attempt(partial(host.list, f"/proc/{pid}/task")) or ()) == 1


def _descriptors(host: Host, pid: int) -> dict[int, int]:
    """Return the inode of each socket a process has open, by descriptor. Raises HostError."""
    found = {}
    for name in host.list(f"/proc/{pid}/fd")[:512]:
        link = attempt(partial(host.link, f"/proc/{pid}/fd/{name}")) or ""
        if name.isdigit() and (match := re.fullmatch(r"socket:\[(\d+)\]", link)):
            found[int(name)] = int(match[1])
    return found


def _calls(host: Host, pid: int) -> Iterator[tuple[int, int]]:
    """Yield the system call that each thread waits in, with its first argument; nothing for a running or unreadable thread."""
    for thread in (attempt(partial(host.list, f"/proc/{pid}/task")) or [])[:THREADS]:
        words = (attempt(partial(host.read, f"/proc/{pid}/task/{thread}/syscall", limit_bytes=512)) or b"").split()
        if len(words) > 1 and words[0].isdigit():
            try:
                yield int(words[0]), int(words[1], 16)
            except ValueError:
                continue


def _ends(known: Snapshot, target: Target) -> Callable[[Socket], bool]:
    return sockets.ends_at(target if not _wildcard(known, target) else Target(host="0.0.0.0", port=target.port))


def _wildcard(known: Snapshot, target: Target) -> bool:
    return any(one.target.is_wildcard and takes(one, target) for one in known.listeners or ())


def _paths(known: Snapshot, target: Target) -> set[str]:
    return {target.path, *(one.target.path for one in known.listeners or () if takes(one, target))}


def _peer(row: Socket | None, path: str | None) -> Target | None:
    if path:
        return Target(path=path) if path.startswith("/") else None
    return sockets.place(row.remote) if row is not None and row.state in (SYN_SENT, sockets.ESTABLISHED) else None


def _is_own(known: Snapshot, peer: Target, target: Target) -> bool:
    """Return whether the peer is not a dependency: a system socket, or the backend itself."""
    return (
        peer == target
        or peer.path.startswith(_OF_THE_SYSTEM)
        or any(takes(one, peer) and takes(one, target) for one in known.listeners or ())
    )


def _variables(host: Host, known: Snapshot, pids: Iterable[int]) -> dict[Target, str]:
    """Return the addresses in these processes' environment variables. The variables may hold secrets and are not stored."""
    found: dict[Target, str] = {}
    masters = list(pids)[:2]
    of_clusters = [pid for pid in _with_children(known, masters) if pid not in masters and _is_of_cluster(known, pid)]
    for pid in (*masters, *of_clusters[:CLUSTER]):  # other workers inherit their master's variables
        content = attempt(partial(host.read, f"/proc/{pid}/environ", limit_bytes=1 << 18)) or b""
        pairs = (pair.partition("=") for pair in content.decode("utf-8", "replace").split("\0"))
        found = named_in(worker_variables({name: value for name, equals, value in pairs if equals})) | found
    return found


def _is_of_cluster(known: Snapshot, pid: int) -> bool:
    """Return whether a process is a child of pm2's daemon, which starts each application with variables of its own."""
    names = {process.pid: process.name for process in known.processes or ()}
    return any(process.pid == pid and is_daemon(names.get(process.ppid, "")) for process in known.processes or ())


def _of_target(
    known: Snapshot, target: Target, waits: list[Waits], variables: dict[Target, str], late: dict[Target, set[int]]
) -> Iterator[Dependency]:
    connecting: Counter[Target] = Counter()
    on: Counter[Target] = Counter()
    perhaps: Counter[Target] = Counter()
    unacknowledged: Counter[Target] = Counter()
    ports: dict[Target, set[int]] = {}
    for one in waits:
        unacknowledged.update(one.unacknowledged)
        connecting.update(one.connecting)
        on.update(one.on)
        perhaps.update(one.perhaps)
        for peer, some in one.ports.items():
            ports.setdefault(peer, set()).update(some)
    busy = sum(one.busy for one in waits)
    named = [place for place in _named(known) if place not in connecting and place not in ports]
    for peer in [*dict.fromkeys((*connecting, *on, *perhaps, *ports, *named, *variables))][:PEERS]:
        # a wildcard listener takes only local addresses
        listener = listener_at(known, peer) if peer.is_unix or is_here(known, peer) else None
        process = owner_of(known, listener)
        is_stopped = bool(process and process.is_stopped)
        does = _titles(known, listener, ports.get(peer, set()))
        owes = is_stopped or any(not title.startswith("idle") for title in does)
        yield Dependency(
            target=target,
            peer=peer,
            connecting=connecting[peer],
            waiting=on[peer] + min(perhaps[peer], busy, busy if owes else len(late.get(peer, set()) & ports.get(peer, set()))),
            unacknowledged=unacknowledged[peer],
            busy=busy,
            is_heard=None if not is_here(known, peer) else listener is not None,
            pid=process.pid if process else None,
            process=process.name if process else "",
            is_stopped=is_stopped,
            unit=process.unit if process else "",
            named_by=variables.get(peer, ""),
            elsewhere=elsewhere(known, peer) if listener is None and is_here(known, peer) else None,
            does=does,
        )


def _named(known: Snapshot) -> Iterator[Target]:
    """Yield the addresses that the services' own messages report as unreachable or slow."""
    for event in known.events or ():
        if event.symptom in (Symptom.APPLICATION_ERROR, Symptom.START_FAILED) and (need := need_of(event.detail)) and need.place:
            place = need.place
            yield Target(host="127.0.0.1", port=place.port) if place.host == "localhost" else place


def _titles(known: Snapshot, listener: Listener | None, ports: set[int]) -> tuple[str, ...]:
    """Return the titles of the processes at the other ends, if they contain the client's port: `postgres: user base HOST(PORT)
    SELECT`.
    """
    found = []
    for process in known.processes or ():
        title = " ".join(process.argv)
        match = _CLIENT.search(title) if listener and process.ppid in listener.pids else None
        if match and int(match[1]) in ports:
            found.append(match[2])
    return tuple(sorted(found))[:TITLES]


def _failing(known: Snapshot) -> tuple[Target, ...]:
    """Return the local targets that answered late or with an error of their own: one of their dependencies may have ended.

    If the access log names no target, the routes of the failed requests lead to it.
    """
    logs = known.logs
    failing = {tally.target for tally in (logs.tallies if logs else ()) if (tally.status or 0) >= 500 and tally.count >= FEW}
    bad = {path.at for path in (logs.paths if logs else ()) if path.at and _errors(path) >= FEW}
    failing |= {target for route in routes(known) if route.at in bad for peer in route.peers for target in addresses(peer, known)}
    return tuple(target for target in owners(known) if target in failing)[:HURT]


def _errors(path: PathTraffic) -> int:
    return sum(count for status, count in path.statuses.items() if status.startswith("5"))
