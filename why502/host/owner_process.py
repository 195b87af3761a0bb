"""The process that reads this machine with the rights of one user; `owner.OwnerHost` runs it as a script.

It is a separate script that imports only the standard library, and imports all of it before it gives up root: later imports
could be redirected by the user. The user can kill or stop it, and no more: it cannot be traced (PR_SET_DUMPABLE), gains nothing
from set-user-id programs (PR_SET_NO_NEW_PRIVS), and has no environment, no terminal and no descriptors but its channel.

Arguments: uid, gid, other groups (comma-separated), the descriptor of the channel, and that of a directory which becomes "/"
(chroot(2); -1: none). Each message is 4 bytes of length and JSON, followed by `size` bytes of content. Descriptors are
passed with the first byte (SCM_RIGHTS, unix(7)).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

# O_NONBLOCK: opening a FIFO must not wait for its other end. O_NOCTTY: a terminal must not become our controlling terminal.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LIST_LIMIT = 100_000
OUTPUT_LIMIT = 4 << 20
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219}
# File systems that check the reader's rights and not the opener's (linux/magic.h): their descriptors are not passed on.
_OF_THE_KERNEL = frozenset({0x9FA0, 0x62656572, 0x64626720, 0x74726163, 0x73636673, 0x6165676C})
# On FUSE, a program of the user answers each read(2), or never does: only the user's own process waits for it.
_FUSE = 0x65735546
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Answer = tuple[dict[str, Any], bytes, int]  # fields, content, descriptor (-1: none)


def become(uid: int, gid: int, groups: list[int]) -> None:
    """Give up root for good. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if number := _KEYCTL.get(os.uname().machine):
        libc.syscall(number, _JOIN_SESSION_KEYRING, None)  # root's keys must not stay available; kernels without keyrings refuse
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise OSError(errno.EPERM, "still another user")


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends: its user may have stopped it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def read(order: dict[str, Any]) -> Answer:
    """Answer with at most `limit` bytes of a regular file."""
    descriptor = _regular(order["path"])
    try:
        chunks, left = [], int(order["limit"])
        while left > 0 and (chunk := os.read(descriptor, min(left, 1 << 20))):
            chunks.append(chunk)
            left -= len(chunk)
        return {}, b"".join(chunks), -1
    finally:
        os.close(descriptor)


def open_(order: dict[str, Any]) -> Answer:
    """Answer with the descriptor of a regular file."""
    descriptor = _regular(order["path"])
    kind = _file_system(descriptor)
    if kind in _OF_THE_KERNEL or kind == _FUSE:
        os.close(descriptor)
        raise OSError(errno.EACCES, "a file of the kernel, or of a program")
    return {}, b"", descriptor


def list_(order: dict[str, Any]) -> Answer:
    """Answer with the names in a directory."""
    with os.scandir(order["path"]) as entries:
        names = sorted(entry.name for entry, _ in zip(entries, range(LIST_LIMIT), strict=False))
    return {}, json.dumps(names).encode(), -1


def stat_(order: dict[str, Any]) -> Answer:
    """Answer with the result of stat(2) or lstat(2)."""
    found = os.stat(order["path"], follow_symlinks=bool(order["follow"]))
    return {"stat": [*found[:7], found.st_atime, found.st_mtime, found.st_ctime]}, b"", -1


def link(order: dict[str, Any]) -> Answer:
    """Answer with the target of a symbolic link."""
    return {"link": os.readlink(order["path"])}, b"", -1


def acl(order: dict[str, Any]) -> Answer:
    """Answer with the attribute that holds the access list."""
    return {}, os.getxattr(order["path"], "system.posix_acl_access"), -1


def space(order: dict[str, Any]) -> Answer:
    """Answer with the result of statvfs(3)."""
    return {"space": list(os.statvfs(order["path"]))}, b"", -1


def connect(order: dict[str, Any]) -> Answer:
    """Answer with a socket that is connected or still connecting; the caller waits for it."""
    path = order.get("path")
    kind = socket.SOCK_DGRAM if order.get("datagrams") else socket.SOCK_STREAM
    stream = socket.socket(socket.AF_UNIX if path is not None else order["family"], kind)
    try:
        stream.setblocking(False)
        result = stream.connect_ex(path if path is not None else tuple(order["address"]))
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        return {}, b"", stream.detach()
    finally:
        stream.close()


def run(order: dict[str, Any]) -> Answer:
    """Answer with the exit status and both outputs of a program; `expired` if it had to be killed."""
    argv: list[str] = order["argv"]
    (out_r, out_w), (err_r, err_w) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _execute(argv, out_w, err_w)
    os.close(out_w)
    os.close(err_w)
    kept = {out_r: bytearray(), err_r: bytearray()}
    status, until = None, time.monotonic() + float(order["timeout"])
    waiting = [out_r, err_r]
    while time.monotonic() < until and (waiting or status is None):
        ready, _, _ = select.select(waiting, [], [], 0.02 if not waiting or status is not None else 0.1)
        for number in ready:
            chunk = os.read(number, 1 << 16)
            kept[number] += chunk[: OUTPUT_LIMIT - len(kept[number])]
            if not chunk:
                waiting.remove(number)
        if status is None:
            ended, raw = os.waitpid(child, os.WNOHANG)
            status = os.waitstatus_to_exitcode(raw) if ended else None
        elif not ready:  # a child that it left behind still holds the pipes open
            break
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        pass
    if status is None:
        os.kill(child, signal.SIGKILL)  # its user may have stopped it before it had a session of its own
        os.waitpid(child, 0)
        return {"expired": True}, b"", -1
    return {"status": status, "stdout": len(kept[out_r])}, bytes(kept[out_r] + kept[err_r]), -1


def _execute(argv: list[str], out: int, err: int) -> None:
    """Replace this process by the program; never returns."""
    try:
        end_with_parent()
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, number in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(source, number)
        os.closerange(3, 1 << 12)
        os.execve(_program(argv[0]), argv, {"PATH": _PATH, "LC_ALL": "C"})  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _program(name: str) -> str:
    """Return the path of a program. os.execvpe would import a module for that, possibly from a place the user cannot read."""
    paths = [name] if "/" in name else [f"{directory}/{name}" for directory in _PATH.split(":")]
    return next((path for path in paths if os.access(path, os.X_OK)), paths[0])


OPERATIONS: dict[str, Callable[[dict[str, Any]], Answer]] = {
    "read": read,
    "open": open_,
    "list": list_,
    "stat": stat_,
    "link": link,
    "acl": acl,
    "space": space,
    "connect": connect,
    "run": run,
}


def serve(channel: socket.socket) -> None:
    """Answer requests until the other side is gone."""
    while (head := _exactly(channel, 4)) is not None:
        body = _exactly(channel, struct.unpack("!I", head)[0])
        if body is None:
            return
        order = json.loads(body)
        try:
            fields, content, descriptor = OPERATIONS[order["op"]](order)
        except OSError as error:
            fields, content, descriptor = {"errno": error.errno, "message": error.strerror or str(error)}, b"", -1
        except (ValueError, UnicodeError, KeyError, MemoryError) as error:
            fields, content, descriptor = {"errno": None, "message": str(error)}, b"", -1
        answer = json.dumps({**fields, "size": len(content), "has_descriptor": descriptor >= 0}).encode()
        packet = struct.pack("!I", len(answer)) + answer
        if descriptor >= 0:
            sent = socket.send_fds(channel, [packet], [descriptor])
            os.close(descriptor)
            channel.sendall(packet[sent:])
        else:
            channel.sendall(packet)
        channel.sendall(content)


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    """Return exactly `size` bytes; None if the other side is gone."""
    found = bytearray()
    while len(found) < size:
        chunk = channel.recv(min(size - len(found), 1 << 16))
        if not chunk:
            return None
        found += chunk
    return bytes(found)


def _regular(path: str) -> int:
    """Return a readable descriptor of a regular file. Raises OSError; a FIFO, device or socket is never kept open."""
    descriptor = os.open(path, READ_FLAGS)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "is not a regular file")


def _file_system(descriptor: int) -> int:
    """Return the file system type of an open file (fstatfs(2))."""
    found = (ctypes.c_long * 64)()
    if ctypes.CDLL(None).fstatfs(descriptor, ctypes.byref(found)) != 0:
        return 0x9FA0
    return found[0] & 0xFFFFFFFF


def main() -> None:
    """Drop to the user's rights and serve."""
    uid, gid, groups, channel, below = sys.argv[1:6]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if int(below) >= 0:
        os.fchdir(int(below))
        os.chroot(".")
        os.close(int(below))
    os.chdir("/")
    os.set_inheritable(int(channel), False)
    become(int(uid), int(gid), [int(group) for group in groups.split(",") if group])
    end_with_parent()  # a change of the user ends an earlier order (prctl(2))
    serve(socket.socket(fileno=int(channel)))


if __name__ == "__main__":
    main()
