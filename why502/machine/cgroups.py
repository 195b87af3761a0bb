"""The control groups of a process, and the contents of their files (cgroups(7), Documentation/admin-guide/cgroup-v2.rst,
cgroup-v1).
"""

from __future__ import annotations

import posixpath

import msgspec

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.base import Value
from why502.model.patterns import lazy

UNLIMITED = 1 << 60  # in version 1 the largest multiple of a page means "no limit"
_DEPTH = 16
_OCTAL = lazy(r"\\([0-7]{3})")


class Mount(Value, frozen=True, kw_only=True):
    """A mounted hierarchy. `controllers` is () for version 2; `root` is the cgroup visible at `point`."""

    point: str
    root: str
    controllers: tuple[str, ...] = ()


class Group(Value, frozen=True, kw_only=True):
    """The limits and limit events of one cgroup, its parents included. Sizes in bytes; None: unknown or unlimited."""

    memory_limit: int | None = None
    memory_used: int | None = None  # memory of the group with the tightest limit, without unused cached files
    limit_hits: int | None = None
    quota: float | None = None  # processors
    periods: int | None = None
    throttled: int | None = None
    pressure: dict[str, bytes] = {}  # PSI text by resource


def parse_mounts(mountinfo: bytes) -> tuple[Mount, ...]:
    """Return the cgroup hierarchies of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
    found = []
    for line in mountinfo.decode("utf-8", "replace").splitlines():
        fields, dash, rest = line.partition(" - ")
        words, kind = fields.split(), rest.split()
        if dash and len(words) >= 5 and len(kind) >= 3 and kind[0] in ("cgroup", "cgroup2"):
            controllers = tuple(kind[2].split(",")) if kind[0] == "cgroup" else ()
            found.append(Mount(point=_plain(words[4]), root=_plain(words[3]), controllers=controllers))
    return tuple(found)


def parse_paths(content: bytes) -> dict[str, str]:
    """Return the cgroup path by controller from /proc/PID/cgroup; the path of version 2 has the key ""."""
    paths: dict[str, str] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def directories(controller: str, paths: dict[str, str], mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return the directories of a process's cgroup and its parents for one controller, innermost first; () if none is visible.

    Version 1 if the controller is mounted there, else version 2. A cgroup outside the mounted tree (`/..` in a cgroup
    namespace, another root) is not visible.
    """
    key = controller if controller in paths else ""  # version 2 has a single path for all controllers
    path = paths.get(key, "/..")
    for mount in mounts:
        if key not in (mount.controllers or ("",)):
            continue
        root = mount.root.rstrip("/")
        if not (path + "/").startswith(root + "/") or "/.." in path:
            continue
        names = [name for name in path[len(root) :].split("/") if name]
        return tuple(posixpath.join(mount.point, *names[:depth]) for depth in range(len(names), -1, -1))[:_DEPTH]
    return ()


def read(host: Host, paths: dict[str, str], mounts: tuple[Mount, ...]) -> Group:
    """Return the limits and counters of a process's cgroup and its parents; None for each value that cannot be read."""
    memory = _memory(host, directories("memory", paths, mounts))
    cpu = _cpu(host, directories("cpu", paths, mounts))
    own = directories("", {"": paths[""]} if "" in paths else {}, mounts)[:1]
    if not own or not _read(host, f"{own[0]}/cgroup.events"):  # only the root cgroup lacks it, and its pressure is the machine's
        return msgspec.structs.replace(cpu, **memory)
    texts = {what: _read(host, f"{own[0]}/{what}.pressure") for what in ("cpu", "memory", "io")}
    return msgspec.structs.replace(cpu, **memory, pressure={what: text for what, text in texts.items() if text})


def _memory(host: Host, where: tuple[str, ...]) -> dict[str, int | None]:
    limit, used = None, None
    for directory in where:
        own = _first(host, f"{directory}/memory.max", f"{directory}/memory.limit_in_bytes")
        if own is not None and own < UNLIMITED and (limit is None or own < limit):
            limit, used = own, _used(host, directory)
    if not where:
        return {}
    if limit is None:
        used = _used(host, where[0])
    events = _table(host, f"{where[0]}/memory.events") or _table(host, f"{where[0]}/memory.oom_control")
    hits = events.get("max") if "max" in events else _first(host, f"{where[0]}/memory.failcnt")
    return {"memory_limit": limit, "memory_used": used, "limit_hits": hits}


def _used(host: Host, directory: str) -> int | None:
    used = _first(host, f"{directory}/memory.current", f"{directory}/memory.usage_in_bytes")
    stat = _table(host, f"{directory}/memory.stat")
    idle = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return max(0, used - idle) if used is not None else None


def _cpu(host: Host, where: tuple[str, ...]) -> Group:
    """Return the quota, and the periods and throttled periods of the most throttled group (the cgroup or a parent)."""
    quotas, stats = [], []
    for directory in where:
        quotas.append(parse_quota(_read(host, f"{directory}/cpu.max") or _v1_quota(host, directory)))
        stats.append(_table(host, f"{directory}/cpu.stat"))
    limited = [stat for stat in stats if stat.get("nr_periods")]
    worst = max(limited, key=lambda stat: stat.get("nr_throttled", 0) / stat["nr_periods"], default={})
    known = any("nr_periods" in stat for stat in stats)
    return Group(
        quota=min((quota for quota in quotas if quota is not None), default=None),
        periods=worst.get("nr_periods", 0) if known else None,
        throttled=worst.get("nr_throttled", 0) if known else None,
    )


def parse_quota(content: bytes) -> float | None:
    """Return the processors that `cpu.max` ("quota period", both in microseconds) allows; None for "max" or -1."""
    words = content.split()
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def parse_table(content: bytes) -> dict[str, int]:
    """Return the contents of a file with lines `name number`."""
    rows = (line.split() for line in content.decode("ascii", "replace").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def _v1_quota(host: Host, directory: str) -> bytes:
    return _read(host, f"{directory}/cpu.cfs_quota_us").strip() + b" " + _read(host, f"{directory}/cpu.cfs_period_us").strip()


def _table(host: Host, path: str) -> dict[str, int]:
    return parse_table(_read(host, path))


def _first(host: Host, *paths: str) -> int | None:
    texts = (_read(host, path).strip() for path in paths)
    return next((int(text) for text in texts if text.isdigit()), None)


def _read(host: Host, path: str) -> bytes:
    return attempt(lambda: host.read(path, limit_bytes=1 << 16)) or b""


def _plain(path: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), path)
