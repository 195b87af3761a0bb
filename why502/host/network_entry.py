"""Sockets of another network namespace (network_namespaces(7)).

A socket belongs for good to the namespace of the thread that creates it. A thread of its own enters the namespace, creates the
socket there and ends, so no other thread of this process ever leaves its namespace. Nothing of ours becomes visible in there but
the socket's packets.

The process in the namespace may end, be replaced, or change its namespace at any time. Its directory in /proc is opened once, and
the namespace that is entered is the descriptor that was checked.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator

from why502.model.errors import HostError
from why502.model.network import Network

ENTER_S = 1.0  # creating a socket takes microseconds; this bounds only a kernel that hangs
_CLONE_NEWNET = 0x40000000
_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704  # ioctl_ns(2)
_libc = ctypes.CDLL(None, use_errno=True)


def create(network: Network, family: int, kind: int, protocol: int = 0, *, uid: int = 0) -> socket.socket:
    """Return a new socket of another network namespace, owned by user `uid`, whose facts lead there (0: root).

    A user other than root only gets a socket in a namespace where that user could create one: the user runs the process, or owns
    the namespace. Raises HostError without an errno, because nothing was learned about what is inside.
    """
    try:
        with _held(network) as (directory, namespace):
            if uid and not _is_of_user(directory, namespace, uid):
                raise _failure(network, f"user {uid}, whose configuration leads there, may not enter it")
            made = _made_inside(namespace, network, (family, kind | socket.SOCK_CLOEXEC, protocol))
    except OSError as error:
        raise _failure(network, _words(error)) from None
    if uid:
        with contextlib.suppress(OSError):  # so that firewall rules see the user (iptables-extensions(8), owner)
            os.fchown(made.fileno(), uid, -1)
    return made


@contextlib.contextmanager
def _held(network: Network) -> Iterator[tuple[int, int]]:
    """Yield descriptors of the process's directory in /proc and of its network namespace, if that is the expected one."""
    with contextlib.ExitStack() as stack:
        directory = os.open(f"/proc/{network.pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, directory)
        namespace = os.open("ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
        stack.callback(os.close, namespace)
        if str(os.fstat(namespace).st_ino) != network.inode:
            raise _failure(network, "the process has changed to another one since")
        yield directory, namespace


def _made_inside(namespace: int, network: Network, what: tuple[int, int, int]) -> socket.socket:
    """Return a socket that a thread of its own created in the namespace. Raises OSError, HostError."""
    made: list[socket.socket | OSError] = []
    entered = os.dup(namespace)

    def enter() -> None:
        try:
            if _libc.setns(entered, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            made.append(socket.socket(*what))
        except OSError as error:
            made.append(error)
        finally:
            os.close(entered)

    thread = threading.Thread(target=enter, name="network namespace", daemon=True)
    thread.start()
    thread.join(ENTER_S)
    if not made:
        raise _failure(network, f"not entered within {ENTER_S:g} s")
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _is_of_user(directory: int, namespace: int, uid: int) -> bool:
    """Return whether the user could enter it: the process has the rights of no other user, or the user owns the namespace."""
    with open(os.open("status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
        lines = [line.split() for line in file.read(1 << 16).splitlines()]
    if [str(uid).encode()] * 4 == next((words[1:] for words in lines if words[:1] == [b"Uid:"]), []):
        return True
    try:
        users = fcntl.ioctl(namespace, _NS_GET_USERNS)
    except PermissionError:  # its user namespace is not below ours
        return False
    try:
        return bool(struct.unpack("=I", fcntl.ioctl(users, _NS_GET_OWNER_UID, bytes(4)))[0] == uid)
    finally:
        os.close(users)


def _words(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "entering it needs CAP_SYS_ADMIN and CAP_SYS_PTRACE"
    return "the process has ended" if error.errno in (errno.ENOENT, errno.ESRCH) else os.strerror(error.errno or errno.EIO)


def _failure(network: Network, reason: str) -> HostError:
    hint = f"run as root, or check from inside: nsenter --net=/proc/{network.pid}/ns/net"
    return HostError(f"network namespace of process {network.pid}: {reason}", hint)
