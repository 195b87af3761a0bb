"""Reads process data from /proc (proc(5)) for several collectors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Limits, Process

CROWD = 64  # number of children of one process that are read; the others are assumed to be alike
TITLE_BYTES = 4096  # maximum per process
TITLE_WORDS = 256
ARGV_WORDS = 1024  # maximum per process: a user may choose a command line of any number of short words, and each costs 60 bytes
TICKS_A_SECOND = 100  # USER_HZ, the same on every architecture in use (time(7))
CLOCKS_S = 0.05  # how far start times and file times differ: ticks of 0.01 s, the boot time, and the coarse clock of files

_CONTAINER = lazy(r"[0-9a-f]{64}")
_NAMED_CONTAINER = lazy(r"/(?:lxc\.payload\.|lxc/|machine\.slice/machine-|systemd-nspawn@)([^/]+?)(?:\.scope|\.service)?(?:/|$)")
_OCTAL = lazy(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat: short name, state letter, parent, and start time in seconds after boot."""

    name: str
    state: str
    ppid: int
    started_s: float


class _Kept:
    """The cache shared by all tables of one host during a collection. A process's stat and title are read only once."""

    def __init__(self, host: Host) -> None:
        self.lock = Lock()
        self.boot = boot_time(host)
        self.own = {kind: _namespace_of(attempt(partial(host.link, f"/proc/self/ns/{kind}"))) for kind in ("net", "mnt", "user")}
        self.stats: dict[int, Stat] = {}
        self.titles: dict[int, tuple[str, ...]] = {}
        self.accounts: dict[str, dict[int, str]] = {}


_kept: dict[int, _Kept] = {}  # by `id()` of the host


@contextmanager
def shared(host: Host) -> Iterator[None]:
    """Make all tables of a host share one cache while the block runs."""
    _kept[id(host)] = _Kept(host)
    try:
        yield
    finally:
        _kept.pop(id(host), None)


class ProcessTable:
    """The processes of a host. Every method that reads raises HostError; a process that is gone raises Missing."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._is_shared = id(host) in _kept
        self._kept = _kept.get(id(host)) or _Kept(host)
        self._boot = self._kept.boot
        self._own = self._kept.own
        self._accounts = self._kept.accounts
        self._mounts: str | None = None

    def pids(self) -> list[int]:
        """Return the numbers of all processes."""
        return sorted(int(name) for name in self._host.list("/proc") if name.isdecimal())

    def stats(self) -> dict[int, Stat]:
        """Return the Stat of every process; processes that end meanwhile are left out."""
        pids = self.pids()
        with self._kept.lock:
            old = self._kept.stats if self._is_shared else {}
            missing = [pid for pid in pids if pid not in old]
            contents = self._host.read_all([f"/proc/{pid}/stat" for pid in missing], limit_bytes=4096)
            new = {pid: stat for pid, content in zip(missing, contents, strict=True) if content and (stat := _stat(content))}
            found = {pid: stat for pid in pids if (stat := old.get(pid) or new.get(pid)) is not None}
            self._kept.stats = found
            self._kept.titles = {pid: title for pid, title in self._kept.titles.items() if pid in found}
            return found.copy()

    def titles(self, is_likely: Callable[[str], bool] = bool) -> dict[int, tuple[str, ...]]:
        """Return the command lines of processes with a likely short name, and of the others without crowds of children.

        Processes that have no command line, end meanwhile, or are not readable are left out. Long command lines are cut after
        the first words.
        """
        stats = self.stats()
        few = set(without_crowds(stats))
        wanted = [pid for pid, stat in stats.items() if pid in few or is_likely(stat.name)]
        with self._kept.lock:
            old = self._kept.titles if self._is_shared else {}
            missing = [pid for pid in wanted if pid not in old]
            contents = self._host.read_all([f"/proc/{pid}/cmdline" for pid in missing], limit_bytes=TITLE_BYTES)
            new = {
                pid: split_argv(content, TITLE_WORDS)
                for pid, content in zip(missing, contents, strict=True)
                if content is not None
            }
            self._kept.titles = old | new
            return {pid: title for pid in wanted if (title := self._kept.titles.get(pid))}

    def stat(self, pid: int) -> Stat:
        """Return the Stat of one process."""
        return parse_stat(self._text(pid, "stat"))

    def argv(self, pid: int) -> tuple[str, ...]:
        """Return a process's command line; if the process set its own title, that title as one string."""
        return split_argv(self._host.read(f"/proc/{pid}/cmdline", limit_bytes=1 << 16))

    def started_at(self, stat: Stat) -> datetime | None:
        """Return its start time, in steps of 0.01 s rounded down; see `boot_time`."""
        return self._boot + timedelta(seconds=stat.started_s) if self._boot else None

    def network(self, pid: int) -> str:
        """Return the inode of its network namespace, "" if it is ours or not readable."""
        return self._other(pid, "net")

    def networks(self, pids: Sequence[int]) -> dict[int, str]:
        """Return the inode of each process's network namespace, "" if it is ours or not readable."""
        found = map(_namespace_of, self._host.link_all([f"/proc/{pid}/ns/net" for pid in pids]))
        return {pid: "" if inode == self._own["net"] else inode for pid, inode in zip(pids, found, strict=True)}

    def mounts(self, pid: int) -> str:
        """Return the inode of its mount namespace, "" if it is ours or not readable."""
        return self._other(pid, "mnt")

    def is_of_our_users(self, pid: int) -> bool:
        """Return whether its user namespace is readable and ours: then its uid 0 is our root."""
        return self._namespace(str(pid), "user") == self._own["user"] != ""

    def root(self, pid: int) -> str:
        """Return its root directory: "" for ours, `/proc/PID/root` in another mount namespace."""
        if self.mounts(pid):
            return f"/proc/{pid}/root"
        root = attempt(lambda: self._host.link(f"/proc/{pid}/root")) or "/"
        return "" if root == "/" else root

    def process(self, pid: int, *, children: int | None = None) -> Process:
        """Return the data of one process, without what is not readable."""
        stat = self.stat(pid)
        status = parse_status(self._text(pid, "status"))
        uid = _number(status, "Uid")
        mounts = self.mounts(pid)
        root = self.root(pid)
        cgroup, unit, container = parse_cgroup(attempt(lambda: self._text(pid, "cgroup")) or "")
        return Process(
            pid=pid,
            ppid=stat.ppid,
            name=stat.name,
            argv=attempt(lambda: self.argv(pid)) or (),
            exe=attempt(lambda: self._host.link(f"/proc/{pid}/exe")) or "",
            user=self.user_name(uid, root if mounts else "") if uid is not None else "",
            uid=uid,
            groups=tuple(int(number) for number in status.get("Groups", "").split()),
            state=stat.state,
            cwd=attempt(lambda: self._host.link(f"/proc/{pid}/cwd")) or "",
            root=root,
            started_at=self.started_at(stat),
            cgroup=cgroup,
            unit=unit,
            container=container,
            network=self.network(pid),
            mounts=mounts,
            limits=self._limits(pid),
            children=children,
            private_tmp=self._private_tmp(pid) if mounts else "",
        )

    def user_name(self, uid: int, root: str = "") -> str:
        """Return the name of a uid in the accounts of that root, else the number."""
        if root not in self._accounts:
            where = self._host.inside(root) if root else self._host
            found = attempt(lambda: where.read("/etc/passwd"))
            self._accounts[root] = {number: name for name, number, _ in parse_passwd(found or b"")}
        accounts = self._accounts[root]
        if uid not in accounts and not root:  # a directory service may know it
            found_by = attempt(lambda: self._host.run("getent", "passwd", str(uid), timeout_s=1.0).stdout)
            accounts[uid] = next((name for name, number, _ in parse_passwd((found_by or "").encode()) if number == uid), str(uid))
        return accounts.get(uid, str(uid))

    def _text(self, pid: int, name: str) -> str:
        return self._host.read(f"/proc/{pid}/{name}", limit_bytes=1 << 20).decode("utf-8", "replace")

    def _namespace(self, pid: str, kind: str) -> str:
        return _namespace_of(attempt(lambda: self._host.link(f"/proc/{pid}/ns/{kind}")))

    def _other(self, pid: int, kind: str) -> str:
        inode = self._namespace(str(pid), kind)
        return "" if inode == self._own[kind] else inode

    def _limits(self, pid: int) -> Limits:
        text = attempt(lambda: self._text(pid, "limits")) or ""
        names = attempt(lambda: self._host.list(f"/proc/{pid}/fd"))
        return Limits(files_open=len(names) if names is not None else None, files_limit=parse_file_limit(text))

    def _private_tmp(self, pid: int) -> str:
        if self._mounts is None:
            self._mounts = attempt(lambda: self._host.read("/proc/self/mountinfo").decode("utf-8", "replace")) or ""
        return private_tmp(attempt(lambda: self._text(pid, "mountinfo")) or "", self._mounts)


def _namespace_of(link: str | None) -> str:
    return (link or "").partition("[")[2].rstrip("]")


def _stat(content: bytes) -> Stat | None:
    try:
        return parse_stat(content.decode("utf-8", "replace"))
    except HostError:
        return None


def without_crowds(stats: Mapping[int, Stat], most: int = CROWD) -> list[int]:
    """Return the processes in order, but only the first `most` children of each parent (except pid 1)."""
    counts: Counter[int] = Counter()
    found = []
    for pid in sorted(stats):
        parent = stats[pid].ppid
        counts[parent] += 1
        if parent <= 1 or counts[parent] <= most:
            found.append(pid)
    return found


def settled_first(master: Process, workers: Iterable[Process]) -> tuple[Process, ...]:
    """Return the workers, last those that were forked a moment ago: they still have their master's user and rights."""
    return tuple(sorted(workers, key=lambda worker: worker.uid == master.uid))


def boot_time(host: Host) -> datetime | None:
    """Return the boot time, accurate to 0.01 s if the host's clock and ours agree, else up to 1 s late."""
    text = attempt(lambda: host.read("/proc/stat").decode("ascii", "replace")) or ""
    match = re.search(r"^btime (\d+)$", text, re.MULTILINE)
    if not match:
        return None
    whole = datetime.fromtimestamp(int(match[1]), UTC)
    try:  # the latest of several has the least delay between the two clocks
        fine = max(_now_less_uptime(host) for _ in range(3))
    except (HostError, ValueError, IndexError):
        return whole
    return fine if whole <= fine <= whole + timedelta(seconds=1) else whole + timedelta(seconds=1)


def _now_less_uptime(host: Host) -> datetime:
    now = datetime.now(UTC)
    return now - timedelta(seconds=float(host.read("/proc/uptime").split()[0]))


def parse_stat(text: str) -> Stat:
    """Return the fields of /proc/PID/stat. The name may contain spaces and brackets. Raises HostError if the text is cut."""
    name = text[text.find("(") + 1 : text.rfind(")")]
    fields = text[text.rfind(")") + 1 :].split()
    try:
        return Stat(name, fields[0], int(fields[1]), int(fields[19]) / TICKS_A_SECOND)
    except (IndexError, ValueError) as error:
        raise HostError("/proc/PID/stat does not match proc(5)") from error


def parse_status(text: str) -> dict[str, str]:
    """Return the fields of /proc/PID/status by name."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def split_argv(content: bytes, most: int = ARGV_WORDS) -> tuple[str, ...]:
    """Return the first words of /proc/PID/cmdline. Padding after a title that the process set is dropped."""
    text = content.decode("utf-8", "replace").rstrip("\0 ")
    return tuple(text.split("\0", most)[:most]) if text else ()


def parse_file_limit(text: str) -> int | None:
    """Return the soft limit of open files in /proc/PID/limits; None if it is missing or unlimited."""
    match = re.search(r"^Max open files\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else None


def parse_passwd(content: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield name, number and main group of each account (passwd(5))."""
    for line in content.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdecimal() and fields[3].isdecimal():
            yield fields[0], int(fields[2]), int(fields[3])


def parse_groups(content: bytes) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Yield name, number and members of each group (group(5))."""
    for line in content.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdecimal():
            yield fields[0], int(fields[2]), tuple(name for name in fields[3].split(",") if name)


def unit_of(host: Host, pid: int) -> str:
    """Return the systemd unit of a process; "" if it has none, or it is not readable."""
    return parse_cgroup((attempt(partial(host.read, f"/proc/{pid}/cgroup")) or b"").decode("utf-8", "replace"))[1]


def parse_cgroup(text: str) -> tuple[str, str, str]:
    """Return the path, the systemd unit and the container from /proc/PID/cgroup (cgroups(7)), each "" if there is none.

    If version 1 has several paths, that of the memory controller counts: the kernel's out-of-memory messages name it.
    """
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            paths[controller] = path
    every = [paths[key] for key in ("memory", "name=systemd", "") if key in paths] + list(paths.values())
    named = [path for path in every if path not in ("", "/")]
    container = next((match[0] for path in named if (match := _last(_CONTAINER, path))), "") or next(
        (match[1] for path in named if (match := _NAMED_CONTAINER.search(path))), ""
    )
    return (named or every or [""])[0], next((unit for path in named if (unit := _unit(path))), ""), container


def private_tmp(mountinfo: str, ours: str) -> str:
    """Return the path of one mount namespace's /tmp in another, "" if it is unknown or the same.

    Both are texts of /proc/PID/mountinfo: number, parent, device, directory within the file system, mount point.
    """
    tmp = next((row for row in reversed(_rows(mountinfo)) if row[2] == "/tmp"), None)
    if tmp is None:
        return ""
    device, directory, _ = tmp
    for other, top, point in reversed(_rows(ours)):
        if other == device and (directory + "/").startswith(top.rstrip("/") + "/"):
            place = point.rstrip("/") + "/" + directory[len(top) :].strip("/")
            return "" if place.rstrip("/") == "/tmp" else place.rstrip("/")
    return ""


def _rows(mountinfo: str) -> list[tuple[str, str, str]]:
    rows = (line.split() for line in mountinfo.splitlines())
    return [(row[2], _plain(row[3]), _plain(row[4])) for row in rows if len(row) > 5]


def _plain(path: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), path)


def _unit(path: str) -> str:
    """Return the innermost service of a cgroup path, else its scope unless it belongs to a container.

    "" below a user's own manager (`user@1000.service`): a user's units are not system units.
    """
    parts = path.split("/")
    if any(part.startswith("user@") and part.endswith(".service") for part in parts[:-1]):
        return ""
    services = [part for part in parts if part.endswith(".service")]
    scopes = [part for part in parts if part.endswith(".scope") and not _CONTAINER.search(part) and part != "init.scope"]
    return (services or scopes or [""])[-1]


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(reversed(list(pattern.finditer(text))), None)


def _number(status: dict[str, str], name: str) -> int | None:
    first = status.get(name, "").split()[:1]
    return int(first[0]) if first and first[0].isdecimal() else None
