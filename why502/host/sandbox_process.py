"""Runs a program as root on a read-only machine: all file systems are read-only, some directories have overlays.

`LocalHost.try_out` runs this as root, as a script that imports only the standard library. Its argument is JSON: `program`
(descriptor of the program, already checked by the caller), `argv`, `pid` (whose namespaces are entered; 0: none), `mounts`,
`network` (which of them), `directories` and `files` that the program may write to or create, `environment`, and the `contents` of
files that it sees changed.

In a mount namespace of its own (mount_namespaces(7)) everything becomes read-only (mount_setattr(2)), so the program cannot
change any file its configuration names. Directories get an overlay (tmpfs) that ends with the namespace. They are opened
component by component and held by descriptors: links that other users than root could have created are not followed, and no
path is looked up twice. Exit status NO_ROOM: the sandbox could not be set up, and nothing was run.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

NO_ROOM = 97
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_SCRATCH = ("/dev/shm", "/mnt", "/media", "/srv")
_OCTAL = re.compile(r"\\([0-7]{3})")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINKS = 40

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = (("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("user", ctypes.c_uint64))


def main(order: dict[str, Any]) -> NoReturn:
    """Set up the sandbox and run the program in place of this process."""
    try:
        _enter(order)
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
        _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
        held = [(_directory(path), path) for path in order["directories"]]
        _read_only()
        _overlay([(number, path) for number, path in held if number >= 0], order["files"])
        for path, content in order["contents"].items():
            _replace(path, content.encode("latin-1"))
    except (OSError, ValueError, KeyError) as error:
        os.write(2, f"sandbox: {error}\n".encode())
        os._exit(NO_ROOM)
    os.chdir("/")
    os.execve(order["program"], order["argv"], {**order["environment"], "PATH": _PATH, "LC_ALL": "C"})  # noqa: S606 - no shell is wanted


def _enter(order: dict[str, Any]) -> None:
    """Enter the namespaces of a process, after opening both."""
    kinds = [("net", _CLONE_NEWNET)] * bool(order["network"]) + [("mnt", _CLONE_NEWNS)] * bool(order["mounts"])
    opened = [(os.open(f"/proc/{order['pid']}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC), flag) for kind, flag in kinds]
    for number, flag in opened:
        _check(_libc.setns(number, flag), "setns")


def _read_only() -> None:
    """Make every mount of this namespace read-only."""
    wanted = _Attributes(set=_ATTR_RDONLY)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    if _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, ctypes.byref(wanted), size) == 0:
        return
    for point, options in _mounts():  # a kernel before 5.12
        if not os.path.lexists(point):
            continue  # another mount hides it
        flags = sum(_FLAGS.get(option, 0) for option in options) | _MS_REMOUNT | _MS_BIND | _MS_RDONLY
        _mount("none", point, "", flags)


def _mounts() -> Iterator[tuple[str, list[str]]]:
    """Yield mount points and their options (proc_pid_mountinfo(5))."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split(" ") for line in file]
    for row in rows:
        yield _OCTAL.sub(lambda match: chr(int(match[1], 8)), row[4]), row[5].split(",")


def _directory(path: str) -> int:
    """Return a descriptor (O_PATH) of a directory; -1 if there is none, or if a link that root did not create leads to it."""
    left, way, links = path.split("/")[::-1], [os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)], _LINKS
    is_roots = True
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            way = way[:-1] or way
            continue
        is_roots = is_roots and _is_roots(os.fstat(way[-1]))
        try:
            number = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=way[-1])
        except (FileNotFoundError, NotADirectoryError):
            return -1
        found = os.fstat(number)
        if stat.S_ISLNK(found.st_mode):
            links -= 1
            if not links or not is_roots:
                return -1
            aim = os.readlink("", dir_fd=number)
            way = way[:1] if aim.startswith("/") else way
            left += aim.split("/")[::-1]
        else:
            way.append(number)
    return way[-1] if stat.S_ISDIR(os.fstat(way[-1]).st_mode) and len(way) > 1 else -1


def _is_roots(found: os.stat_result) -> bool:
    """Return whether only root can create names in a directory, or replace root's own."""
    mode = found.st_mode
    return found.st_uid == 0 and (bool(mode & stat.S_ISVTX) or (not mode & 0o002 and (found.st_gid == 0 or not mode & 0o020)))


def _overlay(held: list[tuple[int, str]], files: list[str]) -> None:
    """Mount overlays over the directories, outer ones first."""
    scratch = next(path for path in _SCRATCH if os.path.isdir(path) and not os.path.islink(path))
    _mount("tmpfs", scratch, "tmpfs", 0, "mode=0755,size=64m")
    below = sorted({point for point, _ in _mounts()})
    done: list[str] = []
    for count, (number, path) in enumerate(held):
        real = os.readlink(f"/proc/self/fd/{number}")
        if any(real == over or real.startswith(f"{over}/") for over in done) or real == scratch:
            continue
        base, found = f"{scratch}/{count}", os.fstat(number)
        for name in ("", "/up", "/work"):
            os.mkdir(base + name)
        os.chown(f"{base}/up", found.st_uid, found.st_gid)
        os.chmod(f"{base}/up", stat.S_IMODE(found.st_mode))
        for file in files:
            _stand_in(file, path, number, f"{base}/up")
        inner = list(_visible(point for point in below if point.startswith(f"{real}/")))
        layers = f"lowerdir=/proc/self/fd/{number},upperdir={base}/up,workdir={base}/work"
        _mount("why502", f"/proc/self/fd/{number}", "overlay", 0, layers)
        for point, again in inner:
            if os.path.lexists(again):
                _mount(f"/proc/self/fd/{point}", again, "", _MS_BIND | _MS_REC)
        done.append(real)


def _visible(points: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield a descriptor (O_PATH) of each mount point, and its path; none of those that another mount hides."""
    for point in points:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            yield os.open(point, os.O_PATH | os.O_CLOEXEC), point


def _stand_in(file: str, path: str, directory: int, up: str) -> None:
    """Put an empty file in place of a file in the overlay: opening a large one for writing would copy all of it into memory."""
    above, _, name = file.rpartition("/")
    if above != path or not name:
        return
    with contextlib.suppress(OSError):
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            os.close(os.open(f"{up}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.chown(f"{up}/{name}", found.st_uid, found.st_gid)
            os.chmod(f"{up}/{name}", stat.S_IMODE(found.st_mode))


def _replace(path: str, content: bytes) -> None:
    """Give a file another content. Raises OSError outside of the overlays: everything else is read-only."""
    found = os.stat(path)
    os.unlink(path)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(number, "wb") as file:
        file.write(content)
        os.fchown(number, found.st_uid, found.st_gid)
        os.fchmod(number, stat.S_IMODE(found.st_mode))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None)
    _check(_libc.mount(*arguments), f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
