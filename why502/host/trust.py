"""Who could replace the file behind a path: checked before a program is run, a file edited or a process signalled.

Root must never act for another user. Root runs a program, and root's proxy reads or writes a file, only if nobody but root (and
the user who started us) can change the file, a directory on the way to it, or a link on the way:

    with trust.held(proxy.exe) as exe:                                # HostError: "user 1000 could change … (owns /home/x)"
        subprocess.run(argv, executable=exe.program)                  # runs the very file that was checked
    if reason := trust.stranger(proxy.config):                        # the same check as text, "" if all is well
        raise HostError(reason)
    trust.stranger("/etc/nginx/conf.d/new.conf", missing=True)        # a file that does not exist yet
    with trust.process(pid) as handle:                                # a pidfd of a process with a trusted user and program
        signal.pidfd_send_signal(handle, signal.SIGHUP)

There is no gap between the check and the use. `Held.descriptor` is open (O_PATH) on the file that was checked. If only trusted
users can write to the directories on the way, `Held.real` leads to the same file until one of them changes it.

Group write access counts as untrusted, except for group 0 and for a private group that has the name of a trusted user and no
other member (USERGROUPS_ENAB, login.defs(5)). Write access to a sticky directory (/tmp) does not count, since entries of others
are safe there (inode(7)); the owner of the directory and of each entry counts. An ordinary user's FUSE mount can claim any
owner,
so the user who mounted it counts (`user_id`, mount.fuse3(8)). Access lists count as the kernel applies them (acl(5)).
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from why502.host.bounded import bounded
from why502.host.files import access_list, failure
from why502.model.errors import Denied, HostError, Missing
from why502.model.patterns import lazy

NOBODY = 65534
SOMEBODY = -1  # more than one possible writer: a group, or everybody
PATIENCE_S = 2.0
_LINKS = 40  # maximum per path, the kernel's own limit
_STEPS = 256
_ANOTHER = lazy(r"/proc/[0-9]+/root")
_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Writer:
    """A user other than root who could replace the file behind a path: `uid` or SOMEBODY, the place, and the right."""

    uid: int
    place: str
    how: str

    @property
    def words(self) -> str:
        """Return it as the reason in a sentence about a path: "user 1000 owns /home/x"."""
        return f"{self.how} {self.place}"


@dataclass(slots=True, frozen=True)
class Held:
    """The file a path leads to. `real` is its path without links; `descriptor` (O_PATH) is -1 if it does not exist.

    `leaders` are the writers who could choose where the path leads: by a link on the way, or by a hard link of the file
    (fs.protected_symlinks, fs.protected_hardlinks, proc_sys_fs(5)).
    """

    path: str
    real: str
    descriptor: int
    writers: tuple[Writer, ...]
    leaders: tuple[Writer, ...] = ()

    @property
    def program(self) -> str:
        """Return a path that runs or opens this very file while it is held, also from a child process
        of ours (proc_pid_fd(5)).
        """
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def stranger(self, uids: Collection[int] | None = None) -> str:
        """Return the reason not to trust it: the first writer who is not root and not in `uids` (by default: us); "" if there
        is none.
        """
        allowed = trusted_users() if uids is None else {0, *uids}
        found = next((writer for writer in self.writers if writer.uid not in allowed), None)
        return f"{self.path} could be changed by users other than root: {found.words}" if found else ""


def trusted_users() -> frozenset[int]:
    """Return the users we may act for: root and the user who started us. SUDO_UID is ignored: sudo may allow only this
    program.
    """
    return frozenset((0, os.getuid(), os.geteuid()))


def writers(path: str, root: str = "/") -> frozenset[int]:
    """Return the users other than root who could replace the file a path leads to; SOMEBODY for a group or everybody.

    `root` is the root directory of the path: "/", or `/proc/PID/root`. Raises HostError if the path cannot be followed.
    """
    with walked(path, root=root) as held:
        return frozenset(writer.uid for writer in held.writers)


def supplier(path: str, root: str = "/") -> int:
    """Return the user who controls a file's content: 0 if only root or we can write or replace it; NOBODY for several, or a
    group.

    Raises HostError.
    """
    return only_user(writers(path, root))


def only_user(uids: Collection[int]) -> int:
    """Return the only user in the list who is neither root nor us; 0 for none, NOBODY for several or SOMEBODY."""
    others = set(uids) - trusted_users()
    if not others:
        return 0
    return others.pop() if len(others) == 1 and SOMEBODY not in others else NOBODY


def stranger(path: str, uids: Collection[int] | None = None, *, missing: bool = False) -> str:
    """Return the reason not to trust a path, "" if only root and `uids` (by default: us) can change the file it leads to.

    With `missing` the file need not exist: then the users who could create it count. Raises HostError.
    """
    with walked(path, missing=missing) as held:
        return held.stranger(uids)


@contextlib.contextmanager
def held(path: str, uids: Collection[int] | None = None) -> Iterator[Held]:
    """Yield the file a path leads to, open. Raises HostError if users other than root and `uids` could change it."""
    with walked(path) as found:
        if reason := found.stranger(uids):
            raise Denied(reason, "make root the owner of it and its directories, or run this as their owner")
        yield found


@contextlib.contextmanager
def program(path: str, pid: int = 0) -> Iterator[int]:
    """Yield a descriptor of a program that may be run as root: the one at a path, or that of a running process owned by root.

    Only root can change it or a directory above it. It stays the checked file even if the path is replaced. Raises HostError.
    """
    if not pid:
        with held(path, (0,)) as found:
            yield found.descriptor
        return
    with process(pid, (0,)):
        try:
            descriptor = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise failure(error, f"the program of process {pid}") from error
        try:
            if writer := next(_writers(descriptor, f"the program of process {pid}", _Mounts()), None):
                raise Denied(f"it could be changed by users other than root: {writer.words}")
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def process(pid: int, uids: Collection[int] | None = None) -> Iterator[int]:
    """Yield a pidfd of a process that may be signalled: it runs as root or one of `uids`, and only they can change its program.

    The pid cannot be reused in the meantime: the pidfd is opened first (pidfd_open(2)). Raises HostError.
    """
    try:
        handle = os.pidfd_open(pid)
    except OSError as error:
        raise failure(error, f"process {pid}") from error
    try:
        allowed = trusted_users() if uids is None else {0, *uids}
        if others := users(pid) - allowed:
            raise Denied(
                f"process {pid} runs as user {min(others)}", "only processes of its owner, or root's own proxy, get a signal"
            )
        try:
            path, its = os.readlink(f"/proc/{pid}/exe"), os.stat(f"/proc/{pid}/exe")
        except OSError as error:
            raise failure(error, f"the program of process {pid}") from error
        if its.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise Denied(f"the program of process {pid} is set-user-id: any user may have started it")
        _same_program(pid, path.removesuffix(" (deleted)"), its, allowed, is_gone=path.endswith(" (deleted)"))
        yield handle
    finally:
        os.close(handle)


def _same_program(pid: int, path: str, its: os.stat_result, allowed: Collection[int], *, is_gone: bool) -> None:
    """Raise HostError unless a process runs the file at a path of this machine that only the allowed users can change.

    After a package upgrade another file is at the path (`is_gone`): then the owner of the old file is checked as well.
    """
    with held(path, allowed) as found:
        ours = os.fstat(found.descriptor)
    if (ours.st_dev, ours.st_ino) == (its.st_dev, its.st_ino):
        return
    if not is_gone or its.st_uid not in allowed:
        raise Denied(f"process {pid} runs a program that is not {path} of this machine", "check inside its container")


def users(pid: int) -> set[int]:
    """Return the real, effective, saved and file system user of a process. Raises HostError."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            line = next(line for line in file.read(1 << 16).splitlines() if line.startswith(b"Uid:"))
        return {int(word) for word in line.split()[1:]}
    except OSError as error:
        raise failure(error, f"process {pid}") from error
    except (StopIteration, ValueError) as error:
        raise HostError(f"/proc/{pid}/status does not name the user") from error


@contextlib.contextmanager
def walked(path: str, *, missing: bool = False, root: str = "/") -> Iterator[Held]:
    """Yield the file a path leads to, with all users other than root who could replace it. Raises HostError if it cannot be
    followed.

    With `missing` the path may end early: then the users who could create the rest of it count.
    """
    try:
        found = bounded(PATIENCE_S, resolve, path, missing=missing, root=root)
    except OSError as error:
        raise failure(error, path) from error
    except ValueError as error:  # a NUL byte in the path
        raise HostError(f"{path!r}: {error}") from error
    try:
        yield found
    finally:
        if found.descriptor >= 0:
            os.close(found.descriptor)


def resolve(path: str, *, missing: bool = False, root: str = "/", follow: bool = True) -> Held:
    """Follow a path from the root, one component after the other, links included. The kernel's own path lookup could be misled.

    The caller closes the descriptor; there is no time limit. Raises HostError, OSError.
    """
    links, steps = _LINKS, _STEPS
    whole = path if path.startswith("/") else f"{os.getcwd()}/{path}"
    left = whole.split("/")[::-1]
    found: list[Writer] = []
    leaders: tuple[Writer, ...] = ()
    mounts = _Mounts(root)
    way: list[tuple[str, int]] = []  # names and descriptors of the directories on the way here
    opened: list[int] = []
    try:
        opened.append(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        way.append(("", opened[-1]))
        found += _writers(opened[-1], "/", mounts)
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                way = way[:-1] or way
                continue
            steps -= 1
            if not steps:
                raise HostError(f"{path}: too many components")
            here = "/".join([*(part for part, _ in way), name])
            try:
                entry = os.open(name, _FLAGS, dir_fd=way[-1][1])
            except FileNotFoundError:
                if not missing:
                    raise Missing(f"{path}: {os.strerror(errno.ENOENT)}", errno=errno.ENOENT) from None
                found += _makers(way[-1][1], _name_of(way))
                rest = "/".join([here, *(part for part in reversed(left) if part not in ("", "."))])
                return Held(path, rest, -1, tuple(dict.fromkeys(found)), leaders)
            opened.append(entry)
            if stat.S_ISLNK(os.fstat(entry).st_mode) and (follow or any(left)):
                links -= 1
                if not links:
                    raise HostError(f"{path}: too many symbolic links")
                found += _owner(os.fstat(entry), here)  # in a sticky directory its owner may replace it
                leaders = tuple(dict.fromkeys(found))
                aim = os.readlink("", dir_fd=entry)
                if aim.startswith("/"):
                    way = way[:1]
                left += aim.split("/")[::-1]
            else:
                seen = os.fstat(entry)
                # whoever may create names here may have created this hard link
                if stat.S_ISREG(seen.st_mode) and seen.st_nlink > 1:
                    leaders = tuple(dict.fromkeys((*found, *_makers(way[-1][1], _name_of(way)))))
                found += _writers(entry, here, mounts)
                way.append((name, entry))
        last = os.dup(way[-1][1])
        os.set_inheritable(last, False)
        return Held(path, _name_of(way), last, tuple(dict.fromkeys(found)), leaders)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _name_of(way: list[tuple[str, int]]) -> str:
    return "/".join(part for part, _ in way) or "/"


def _owner(seen: os.stat_result, place: str) -> Iterator[Writer]:
    if seen.st_uid != 0:
        yield Writer(seen.st_uid, place, f"user {seen.st_uid} owns")


def _writers(descriptor: int, place: str, mounts: _Mounts) -> Iterator[Writer]:
    """Yield the users who could change a file, or replace an entry of an existing directory."""
    seen = os.fstat(descriptor)
    yield from _owner(seen, place)
    if mounter := mounts.mounter(descriptor):
        yield Writer(mounter, place, f"user {mounter} mounted the file system of")
    if not (stat.S_ISDIR(seen.st_mode) and seen.st_mode & stat.S_ISVTX):
        yield from _permitted(descriptor, seen, place)


def _makers(descriptor: int, place: str) -> Iterator[Writer]:
    """Yield the users who could create a new entry in a directory, even a sticky one."""
    yield from _permitted(descriptor, os.fstat(descriptor), place)


def _permitted(descriptor: int, seen: os.stat_result, place: str) -> Iterator[Writer]:
    """Yield the users who may write by the mode and the access list. With an access list the group bits are its mask (acl(5))."""
    if seen.st_mode & stat.S_IWOTH:
        yield Writer(SOMEBODY, place, "everybody may write to")
    if not seen.st_mode & stat.S_IWGRP:
        return
    entries = access_list(f"/proc/self/fd/{descriptor}")
    rights = [(kind, number) for kind, number, right in (entry.split(":") for entry in entries) if "w" in right]
    if not entries or ("group", "") in rights:
        rights.append(("group", str(seen.st_gid)))
    for kind, number in rights:
        if kind == "user" and number and number != "0":
            yield Writer(int(number), place, f"user {number} may write to")
        elif kind == "group" and number and number != "0":
            alone = _alone_in(int(number))
            yield Writer(SOMEBODY if alone is None else alone, place, f"group {number} may write to")


def _alone_in(gid: int) -> int | None:
    """Return the only user of a private group (same name as the user); None if it is another kind of group."""
    try:
        group = grp.getgrgid(gid)
        user = pwd.getpwnam(group.gr_name)
    except KeyError:
        return None
    is_own = user.pw_gid == gid and set(group.gr_mem) <= {user.pw_name}
    return user.pw_uid if is_own else None


class _Mounts:
    """The users who mounted the file systems of open files, for kinds whose owners cannot be trusted."""

    def __init__(self, root: str = "/") -> None:
        self._known: dict[int, int] = {}
        self._table = root.removesuffix("root") + "mountinfo" if _ANOTHER.fullmatch(root) else "/proc/self/mountinfo"

    def mounter(self, descriptor: int) -> int:
        """Return the user of a FUSE mount; 0 for root's mounts and other kinds. Raises HostError if the mount is unknown."""
        number = _mount_id(descriptor)
        if number not in self._known:
            if not self._known:
                self._known[number] = 0  # our root: in a chroot(2) its mount is not listed
            self._known.update(_mounters(self._table))
        if number not in self._known:
            raise HostError("a file system on the way was unmounted in the meantime")
        return self._known[number]


def _mount_id(descriptor: int) -> int:
    with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
        for line in file.read(4096).splitlines():
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    raise HostError("the kernel does not report the mount of an open file")


def _mounters(table: str) -> Iterator[tuple[int, int]]:
    """Yield the number of each visible mount, with the user responsible for its contents (proc_pid_mountinfo(5))."""
    with open(table, "rb") as file:
        lines = file.read(16 << 20).splitlines()
    for line in lines:
        words = line.split(b" ")
        mark = words.index(b"-", 6)
        options = words[mark + 3].split(b",") if words[mark + 1].startswith(b"fuse") else []
        user = next((int(option[8:]) for option in options if option.startswith(b"user_id=")), 0)
        yield int(words[0]), user
