"""The kernel's list of sockets, queried by netlink (sock_diag(7), linux/inet_diag.h, linux/unix_diag.h).

Netlink records have explicit lengths, so a socket's name cannot imitate another record. In /proc/net/unix and ss(8) a line feed
in a name can. Another network namespace is entered by a separate process, which passes back a netlink socket from each.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from why502.host.base import KernelSocket, SocketTable
from why502.model.errors import HostError
from why502.model.target import Target

ROWS = 200_000  # maximum sockets per kind
PATIENCE_S = 2.0  # for one namespace, and for the process that enters the others

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_INET_REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2, any address
_INET = struct.Struct("=BBxx2s2s16s16sI8xIIIII")  # struct inet_diag_msg
_SKV6ONLY = 11  # INET_DIAG_SKV6ONLY
_UNIX_REQUEST = struct.Struct("=BBxxIIIII")  # struct unix_diag_req
_UNIX = struct.Struct("=BBBxIII")  # struct unix_diag_msg
_NAME, _VFS, _PEER, _QUEUES, _UID = 0, 1, 2, 4, 7  # UDIAG_*
_SHOW = 0x01 | 0x02 | 0x04 | 0x10 | 0x40  # UDIAG_SHOW_NAME, _VFS, _PEER, _RQLEN, _UID
_ESTABLISHED, _LISTEN = 1, 10  # TCP_ESTABLISHED, TCP_LISTEN: unix sockets have the same states
_MINOR_BITS = 20  # of a device number within the kernel (linux/kdev_t.h)

# Enters the network namespace of each process in turn, and sends back a netlink socket from it, or an errno.
_HELPER = """\
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
out = socket.socket(fileno=int(sys.argv[1]))
for pid in sys.argv[2:]:
    try:
        space = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(space, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 4) as diag:
            socket.send_fds(out, [b"%d 0" % os.fstat(space).st_ino], [diag.fileno()])
        os.close(space)
    except OSError as error:
        out.send(b"0 %d" % (error.errno or 5))
"""


def tables(pids: Sequence[int] = (), *, connected: bool = False) -> tuple[SocketTable, ...]:
    """Return the sockets of our network namespace, or of each process's. Raises HostError if the kernel does not answer.

    Listening TCP and unix stream sockets; with `connected`, only unix stream sockets, including connected ones.
    """
    if pids:
        return tuple(_others(pids, connected=connected))
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diag:
            return (_table(diag, "", connected=connected),)
    except OSError as error:
        raise HostError(f"sock_diag: {os.strerror(error.errno) if error.errno else error}", errno=error.errno) from error


def _others(pids: Sequence[int], *, connected: bool) -> Iterator[SocketTable]:
    """Yield the sockets of each process's network namespace. Raises HostError if the helper process could not be started."""
    until = time.monotonic() + PATIENCE_S
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _HELPER, str(theirs.fileno()), *map(str, pids)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={"LC_ALL": "C"},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise HostError(f"network namespaces: {error}", errno=error.errno) from error
        try:
            for _ in pids:
                ours.settimeout(max(0.01, until - time.monotonic()))
                yield _received(ours, connected=connected)
        finally:
            process.kill()
            process.wait()


def _received(ours: socket.socket, *, connected: bool) -> SocketTable:
    """Return the socket table of the next namespace that the helper entered."""
    try:
        message, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
        network, number = message.split()
        if not descriptors:
            return SocketTable(reason=f"setns: {os.strerror(int(number))}")
        with socket.socket(fileno=descriptors[0]) as diag:
            return _table(diag, network.decode("ascii"), connected=connected)
    except (OSError, ValueError) as error:
        return SocketTable(reason=f"the process that enters network namespaces: {error or 'it ended'}")


def _table(diag: socket.socket, network: str, *, connected: bool) -> SocketTable:
    """Return the table read from one netlink socket. Raises OSError."""
    diag.settimeout(PATIENCE_S)
    until = time.monotonic() + PATIENCE_S
    diag.bind((0, 0))
    sockets: list[KernelSocket] = []
    counts: list[int] = []
    states = 1 << _LISTEN
    if connected:
        states |= 1 << _ESTABLISHED
    else:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = _INET_REQUEST.pack(family, socket.IPPROTO_TCP, 0, states)
            rows = _dump(diag, request, len(counts) + 1, until)
            counts.append(len(rows))
            sockets += [found for row in rows if (found := parse_inet(row))]
    rows = _dump(diag, _UNIX_REQUEST.pack(socket.AF_UNIX, 0, states, 0, _SHOW, 0, 0), len(counts) + 1, until)
    counts.append(len(rows))
    sockets += [found for row in rows if (found := parse_unix(row))]
    return SocketTable(network, tuple(sockets), is_whole=max(counts) < ROWS)


def _dump(diag: socket.socket, request: bytes, sequence: int, until: float) -> list[bytes]:
    """Return the records that answer a request. Raises OSError, or TimeoutError if they do not end in time."""
    diag.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, sequence, 0) + request)
    rows: list[bytes] = []
    while time.monotonic() < until:
        answer, _, flags, (sender, _) = diag.recvmsg(1 << 18)
        if sender:  # not from the kernel
            continue
        if flags & socket.MSG_TRUNC:
            raise OSError("a netlink message was cut")
        for kind, number, content in _messages(answer):
            if number != sequence:  # answer to an earlier, abandoned request
                continue
            if kind == _DONE:
                return rows
            if kind == _ERROR:
                code = -int.from_bytes(content[:4], sys.byteorder, signed=True)
                raise OSError(code, os.strerror(code))
            if kind == _SOCK_DIAG_BY_FAMILY and len(rows) < ROWS:
                rows.append(content)
    raise TimeoutError("the kernel's list of sockets did not end in time")


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, sequence number and content of each netlink message."""
    start = 0
    while start + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, start)
        if length < _HEADER.size or start + length > len(data):
            return
        yield kind, sequence, data[start + _HEADER.size : start + length]
        start += length + 3 & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes after a record, by type."""
    found: dict[int, bytes] = {}
    start = 0
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size or start + length > len(data):
            break
        found[kind & 0x3FFF] = data[start + _ATTRIBUTE.size : start + length]
        start += length + 3 & ~3
    return found


def parse_inet(record: bytes) -> KernelSocket | None:
    """Return the socket of a struct inet_diag_msg with its attributes; None if it is malformed."""
    if len(record) < _INET.size:
        return None
    family, state, port, _, source, _, interface, _, queued, backlog, uid, inode = _INET.unpack_from(record)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    is_v6 = family == socket.AF_INET6
    only_v6 = _attributes(record[_INET.size :]).get(_SKV6ONLY, b"")[:1] if is_v6 else b""
    return KernelSocket(
        target=Target(host=_host(source if is_v6 else source[:4], interface), port=int.from_bytes(port, "big")),
        inode=inode,
        is_listening=state == _LISTEN,
        uid=uid,
        queued=queued,
        backlog=backlog,
        only_v6=bool(only_v6[0]) if only_v6 else None,
    )


def _host(packed: bytes, interface: int) -> str:
    """Return an address as text: an IPv4-mapped one as IPv4, a link-local one with its interface."""
    ip = ipaddress.ip_address(packed)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        if ip.is_link_local and interface:
            return f"{ip}%{_interface(interface)}"
    return str(ip)


def _interface(number: int) -> str:
    try:
        return socket.if_indextoname(number)
    except OSError:
        return str(number)


def parse_unix(record: bytes) -> KernelSocket | None:
    """Return the stream socket of a struct unix_diag_msg with its attributes; None if it is malformed."""
    if len(record) < _UNIX.size:
        return None
    family, kind, state, inode, _, _ = _UNIX.unpack_from(record)
    if family != socket.AF_UNIX or kind != socket.SOCK_STREAM:
        return None
    parts = _attributes(record[_UNIX.size :])
    name = parts.get(_NAME, b"")
    path = b"@" + name[1:] if name.startswith(b"\0") else name.split(b"\0", 1)[0]
    if path.startswith(b"@") and not name.startswith(b"\0"):
        path = b"./" + path  # bound by a relative path that only looks like an abstract name
    file_inode, device = _numbers(parts.get(_VFS, b""))
    queued, backlog = _numbers(parts.get(_QUEUES, b""))
    return KernelSocket(
        target=Target(path=path.decode("utf-8", "replace")),
        inode=inode,
        is_listening=state == _LISTEN,
        uid=_number(parts.get(_UID, b"")),
        queued=queued or 0,
        backlog=backlog or 0,
        peer_inode=_number(parts.get(_PEER, b"")) or 0,
        device=None if device is None else os.makedev(device >> _MINOR_BITS, device & ((1 << _MINOR_BITS) - 1)),
        file_inode=file_inode,
    )


def _number(content: bytes) -> int | None:
    return int.from_bytes(content[:4], sys.byteorder) if len(content) >= 4 else None


def _numbers(content: bytes) -> tuple[int | None, int | None]:
    return (_number(content), _number(content[4:])) if len(content) >= 8 else (None, None)
