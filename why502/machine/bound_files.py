"""The file that a unix socket is bound to: compares sock_diag(7)'s answer with the file its path leads to now.

The kernel reports the superblock's device and the inode that it holds itself (net/unix/diag.c, sk_diag_dump_vfs). stat(2) may
report other numbers for the same file. On overlayfs, used by most containers, they belong to the layer below (the kernel's
Documentation/filesystems/overlayfs.rst, "Inode properties"); on btrfs each subvolume has its own device. mountinfo has the
superblock's device.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from why502.host.base import Host, Stat
from why502.machine.attempt import attempt
from why502.model.errors import HostError, Missing
from why502.model.patterns import lazy

_LAYERED = frozenset({"overlay", "aufs"})  # their inodes may differ from those of stat(2)
_LINKS = 16  # symbolic links followed on the way to one file
_LOOKS = 256  # maximum number of paths whose links are followed
_INODE = 0xFFFFFFFF  # the kernel reports only these bits
_OCTAL = lazy(r"\\([0-7]{3})")
_ANOTHER = lazy(r"/proc/\d+/root/?")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: the device of its superblock, and its type."""

    device: int
    kind: str


class View:
    """The files below one root directory ("" for our own), seen by processes with that root."""

    def __init__(self, host: Host, root: str = "") -> None:
        self._host = host.inside(root) if root else host
        table = f"{root.rstrip('/').removesuffix('root')}mountinfo" if _ANOTHER.fullmatch(root) else "/proc/self/mountinfo"
        self._mounts = parse(attempt(partial(host.read, table)) or b"") if not root or _ANOTHER.fullmatch(root) else {}
        self._devices = {mount.device for mount in self._mounts.values()}
        self._files: dict[str, Stat | None] = {}
        self._left = _LOOKS

    def leads_to(self, path: str, device: int, inode: int) -> bool | None:
        """Return whether a path leads to the file that a socket is bound to; None if that is unknown."""
        try:
            file = self._file(path)
        except HostError:
            return None
        if file is None:
            return False
        is_inode = file.inode & _INODE == inode
        if file.device == device:
            return is_inode
        if device not in self._devices:
            return False
        if not self._left:
            return None
        self._left -= 1
        mount = self._mount(_real(self._host, path))
        if mount is None or mount.device != device:
            return False
        return True if is_inode else None if mount.kind in _LAYERED else False

    def _file(self, path: str) -> Stat | None:
        """Return the Stat of the file at a path; None if there is none. Raises HostError if access is denied."""
        if path not in self._files:
            try:
                self._files[path] = self._host.stat(path)
            except Missing:
                self._files[path] = None
        return self._files[path]

    def _mount(self, path: str) -> Mount | None:
        """Return the innermost mount that contains a path."""
        while path:
            if path in self._mounts:
                return self._mounts[path]
            path = path.rpartition("/")[0]
        return self._mounts.get("/")


def parse(mountinfo: bytes) -> Mapping[str, Mount]:
    """Return the mounts in /proc/PID/mountinfo (proc_pid_mountinfo(5)) by mount point; of several at one mount point the last,
    which covers the others.
    """
    found: dict[str, Mount] = {}
    for line in mountinfo.decode("utf-8", "surrogateescape").split("\n"):
        fields, dash, rest = line.partition(" - ")
        words = fields.split(" ")
        major, colon, minor = words[2].partition(":") if len(words) > 4 else ("", "", "")
        if dash and colon and major.isdecimal() and minor.isdecimal():
            place = _OCTAL.sub(lambda match: chr(int(match[1], 8)), words[4])
            found[place] = Mount(device=os.makedev(int(major), int(minor)), kind=rest.partition(" ")[0])
    return found


def _real(host: Host, path: str) -> str:
    """Return a path with its symbolic links resolved, up to the limit on links."""
    done, left, links = "", [part for part in path.split("/") if part], _LINKS
    while left:
        part = left.pop(0)
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        if part in ("", "."):
            continue
        link = attempt(partial(host.link, f"{done}/{part}")) if links else None
        if link is None:
            done = f"{done}/{part}"
            continue
        links -= 1
        done = "" if link.startswith("/") else done
        left = [*link.split("/"), *left]
    return done or "/"
