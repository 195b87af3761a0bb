"""The kernel's socket tables: /proc/net/tcp, tcp6 (proc_pid_net(5), net/ipv4/tcp_ipv4.c), and unix sockets by sock_diag(7).

Both show without special rights which connections the backend has not accepted yet: a TCP socket without an inode, and the
queue of a unix socket. /proc/net/unix is not read: it prints names unescaped, line feeds too, so anybody can forge rows in it.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from why502.host.base import Host, KernelSocket, SocketTable
from why502.machine.proc_net import hex_address
from why502.model.errors import HostError, Missing
from why502.model.target import Target

LIMIT_BYTES = 16 << 20  # about 110 000 sockets, 70 MB of memory during counting
LISTEN = "LISTEN"
QUEUED = "QUEUED"
ESTABLISHED = "ESTABLISHED"
CLOSE_WAIT = "CLOSE_WAIT"
_TCP_STATES = {
    b"01": ESTABLISHED,
    b"02": "SYN_SENT",
    b"03": "SYN_RECV",
    b"04": "FIN_WAIT1",
    b"05": "FIN_WAIT2",
    b"06": "TIME_WAIT",
    b"07": "CLOSE",
    b"08": CLOSE_WAIT,
    b"09": "LAST_ACK",
    b"0A": LISTEN,
    b"0B": "CLOSING",
    b"0C": "SYN_RECV",
}


@dataclass(slots=True)
class Socket:
    """A row. `local` and `remote` are hexadecimal `address:port` as the kernel prints it (see `names`), or `local` is a path."""

    local: bytes
    remote: bytes
    state: str
    inode: int
    retries: int = 0  # consecutive retransmissions without an acknowledgement


def read_tcp(host: Host, directory: str = "/proc/net") -> tuple[list[Socket], bool]:
    """Return the TCP sockets of a network namespace (`/proc/PID/net` for another), and whether all were read."""
    tables = [host.read(f"{directory}/tcp", limit_bytes=LIMIT_BYTES)]
    try:
        tables.append(host.read(f"{directory}/tcp6", limit_bytes=LIMIT_BYTES))
    except Missing:  # IPv6 is off
        pass
    return [row for table in tables for row in parse_tcp(table)], all(len(table) < LIMIT_BYTES for table in tables)


def read_unix(host: Host, directory: str = "/proc/net") -> list[Socket]:
    """Return the unix stream sockets with a name: listening, connected, or waiting to be accepted.

    Raises HostError.
    """
    return [row for one in _unix(host, directory) for row in _rows(one)]


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a table could not be read. An error that is kept would keep all that its frames hold, such as open files."""

    reason: str
    hint: str = ""


def read_unix_each(host: Host, directories: Sequence[str]) -> list[list[Socket] | Unread]:
    """Return what `read_unix` returns, or why it raises, for each of several directories: one helper process enters all
    namespaces.
    """
    pids = [int(directory.split("/")[2]) for directory in directories if _is_of_process(directory)]
    try:
        others = iter(host.sockets(*pids, connected=True) if pids else ())
    except HostError as error:
        others = iter([SocketTable(reason=error.reason)] * len(pids))
    found: list[list[Socket] | Unread] = []
    for directory in directories:
        try:
            table = next(others) if _is_of_process(directory) else host.sockets(connected=True)[0]
            found.append(Unread(table.reason) if table.reason else [row for one in table.sockets for row in _rows(one)])
        except HostError as error:
            found.append(Unread(error.reason, error.hint))
    return found


def read_unix_peers(host: Host) -> dict[int, str]:
    """Return the name of the peer of each connected unix socket, by the inode of the local end. Raises HostError."""
    found = _unix(host, "/proc/net")
    return {one.peer_inode: one.target.path for one in found if one.peer_inode and one.target.path.startswith(("/", "@"))}


def _is_of_process(directory: str) -> bool:
    return directory.split("/")[2].isdecimal()


def _unix(host: Host, directory: str) -> tuple[KernelSocket, ...]:
    pids = (int(directory.split("/")[2]),) if _is_of_process(directory) else ()
    table = host.sockets(*pids, connected=True)[0]
    if table.reason:
        raise HostError(table.reason)
    return table.sockets


def _rows(one: KernelSocket) -> Iterator[Socket]:
    """Yield a named socket as a row; for a listening one also a row for each connection waiting to be accepted."""
    if not one.target.path:
        return
    name = one.target.path.encode("utf-8", "surrogateescape")
    yield Socket(name, b"", LISTEN if one.is_listening else ESTABLISHED, one.inode)
    if one.is_listening:
        yield from (Socket(name, b"", QUEUED, 0) for _ in range(one.queued))


def parse_tcp(content: bytes) -> Iterator[Socket]:
    """Yield the rows of /proc/net/tcp or tcp6; malformed rows, such as a truncated last one, are skipped."""
    for line in content.splitlines()[1:]:
        words = line.split(None, 10)
        if len(words) > 9 and (state := _TCP_STATES.get(words[3])) and words[9].isdigit():
            yield Socket(words[1], words[2], state, int(words[9]), _retries(words))


def _retries(words: list[bytes]) -> int:
    """Return how often a connection has resent its oldest unacknowledged data (net/ipv4/tcp_ipv4.c, get_tcp4_sock).

    Timer 1 retransmits. Timer 4 probes whether anything can be sent, also if a firewall rule of this machine drops it. Each
    has its own count.
    """
    count = words[6] if words[5].startswith(b"01") else words[8] if words[5].startswith(b"04") else b"0"
    try:
        return int(count, 16 if words[5].startswith(b"01") else 10)
    except ValueError:
        return 0


def place(text: bytes) -> Target | None:
    """Return the address in the kernel's hexadecimal form; None if it is malformed."""
    address, _, port = text.decode("ascii", "replace").partition(":")
    try:
        return Target(host=hex_address(address), port=int(port, 16))
    except ValueError:
        return None


@lru_cache(4096)
def names(target: Target) -> tuple[bytes, ...]:
    """Return the forms of a target in the tables (for IPv4 also that of an IPv6 socket); () for a host name."""
    if target.is_unix:
        return (target.path.encode("utf-8", "surrogateescape"),)
    try:
        ip = ipaddress.ip_address(target.host.partition("%")[0])
    except ValueError:
        return ()
    forms = [ip.packed] if ip.version == 6 else [ip.packed, b"\0" * 10 + b"\xff\xff" + ip.packed]
    return tuple(_hex(form) + b":%04X" % target.port for form in forms)


@dataclass(slots=True)
class Use:
    """Connections to a listening socket: held by its processes, waiting to be accepted, and of both those closed by the peer.

    For a unix socket the kernel does not report whether the peer closed it: None.
    """

    held: int = 0
    queued: int = 0
    abandoned: int | None = None


def ends_at(target: Target) -> Callable[[Socket], bool]:
    """Return a test whether a socket's local end is the target; for a wildcard address any address with its port matches."""
    forms, port = names(target), b":%04X" % target.port
    return lambda row: row.local in forms or (target.is_wildcard and row.local.endswith(port))


class Ends:
    """The rows of a table by their local address, so that a lookup does not scan the table."""

    def __init__(self, rows: list[Socket]) -> None:
        self._by_end: dict[bytes, list[Socket]] = {}
        self._by_port: dict[bytes, list[Socket]] = {}
        for row in rows:
            self._by_end.setdefault(row.local, []).append(row)
            self._by_port.setdefault(row.local[-5:], []).append(row)

    def at(self, target: Target) -> list[Socket]:
        """Return the rows whose local end may be the target."""
        if target.is_wildcard:
            return self._by_port.get(b":%04X" % target.port, [])
        return [row for form in names(target) for row in self._by_end.get(form, ())]


def use(target: Target, tcp: list[Socket], unix: list[Socket]) -> Use:
    """Return the connections of a listening socket. For a wildcard address, connections to every address with its port count."""
    is_of = ends_at(target)
    rows = (
        row
        for row in (unix if target.is_unix else tcp)
        if row.state not in {LISTEN, "TIME_WAIT", "SYN_RECV", "UNCONNECTED"} and is_of(row)
    )
    held = queued = abandoned = 0
    for row in rows:
        if row.inode:
            held += 1
        elif row.state in {ESTABLISHED, CLOSE_WAIT, QUEUED}:
            queued += 1
        abandoned += row.state == CLOSE_WAIT
    return Use(held, queued, None if target.is_unix else abandoned)


def inodes(host: Host, pid: int, limit: int = 512) -> set[int]:
    """Return the inodes of the sockets a process has open, from at most `limit` descriptors. Raises HostError."""
    found = set()
    for name in host.list(f"/proc/{pid}/fd")[:limit]:
        try:
            link = host.link(f"/proc/{pid}/fd/{name}")
        except HostError:
            continue
        if link.startswith("socket:[") and link[8:-1].isdecimal():
            found.add(int(link[8:-1]))
    return found


def _hex(packed: bytes) -> bytes:
    step = -1 if sys.byteorder == "little" else 1
    return b"".join(packed[i : i + 4][::step] for i in range(0, len(packed), 4)).hex().upper().encode()
