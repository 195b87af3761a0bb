"""The path to each unix socket that a proxy connects to, with the view and permissions of its workers.

connect() needs write permission on the socket and search permission on every directory above it (unix(7)), each by mode or
ACL, for the worker's user, in the worker's own mount namespace.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial

from why502.collectors.base import CollectOptions, Found
from why502.diagnosis.targets import peer_sets
from why502.host.base import Host, Stat
from why502.machine.access import SEARCH, WRITE, Identity, identity, permits
from why502.machine.attempt import attempt
from why502.machine.process_table import parse_groups, parse_passwd, parse_status
from why502.model.config import Route
from why502.model.errors import HostError, Missing
from why502.model.file_kind import FileKind
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap, PathStep, Snapshot, SocketPath
from why502.model.times import of_epoch

SECTION = "socket_paths"
NEEDS = ("processes",)
LIMIT_S = 2.5
PATHS = 64

_LINKS = 40
_TMP = ("/tmp", "/var/tmp")


class Viewer:
    """A proxy's worker: its view of the file system, its user, and its account names.

    It reads only what `supplier_uid` may read.
    """

    def __init__(self, host: Host, proxy: Proxy, supplier_uid: int = 0) -> None:
        worker = next(iter(proxy.workers), None)
        root = f"/proc/{worker.pid}/root" if worker and worker.mounts else proxy.root
        acting = host.acting_as(supplier_uid)
        self.seen = acting.inside(root) if root else acting
        self.user = proxy.user
        self.accounts = list(parse_passwd(self._text("/etc/passwd")))
        self.groups = list(parse_groups(self._text("/etc/group")))
        if worker is not None:
            status = attempt(partial(host.read, f"/proc/{worker.pid}/status")) or b""
            self.who = identity(parse_status(status.decode("utf-8", "replace")))
        else:
            self.who = self._account(proxy.user)

    def user_name(self, uid: int) -> str:
        """Return the name of a user, else the number."""
        return next((name for name, number, _ in self.accounts if number == uid), str(uid))

    def group_name(self, gid: int) -> str:
        """Return the name of a group, else the number."""
        return next((name for name, number, _ in self.groups if number == gid), str(gid))

    def _account(self, user: str) -> Identity | None:
        """Return the identity of nginx's workers (ngx_worker_process_init: initgroups), for a user in the accounts."""
        for name, uid, gid in self.accounts:
            if name == user:
                others = tuple(number for _, number, members in self.groups if user in members)
                return Identity(uid, gid, others, overrides=uid == 0)
        return None

    def _text(self, path: str) -> bytes:
        return attempt(partial(self.seen.read, path)) or b""


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[SocketPath, ...]]:
    """Return the path to every unix socket in routes and logs, once for each proxy that uses it."""
    gaps: list[Gap] = []
    found: list[SocketPath] = []
    logged = [
        (tally.proxy, tally.target.path, tally.owner_uid)
        for tally in (known.logs.tallies if known.logs else ())
        if tally.target and tally.target.is_unix
    ]
    for proxy in known.proxies or ():
        named = (
            (peer.target.path, uid)
            for uid, routes in _by_supplier(proxy).items()
            for peers in peer_sets(routes)
            for peer in peers
            if peer.target and peer.target.is_unix
        )
        suppliers: dict[str, int] = {}
        own = ((path, uid) for kind, path, uid in logged if kind in (None, proxy.kind) and uid == proxy.owner_uid)
        for path, uid in (*named, *own):
            if path.startswith("/"):
                suppliers[path] = min(uid, suppliers.get(path, uid))  # root, if root's files name it too
        paths = list(suppliers)
        viewers: dict[int, Viewer] = {}
        for path in paths[:PATHS]:
            uid = suppliers[path]
            viewer = viewers[uid] = viewers.get(uid) or Viewer(host, proxy, uid)
            try:
                found.append(_way(host, known, viewer, path))
            except HostError as error:
                gaps.append(Gap(source="socket paths", reason=error.reason, hint=error.hint))
                found.append(SocketPath(path=path, user=viewer.user))
        if len(paths) > PATHS:
            gaps.append(Gap(source="socket paths", reason=f"only {PATHS} of {len(paths)} unix sockets were examined"))
    return Found(tuple(dict.fromkeys(found)), tuple(gaps))


def _by_supplier(proxy: Proxy) -> dict[int, list[Route]]:
    """Return the routes by the user who supplied them."""
    found: dict[int, list[Route]] = {}
    for route in proxy.routes:
        found.setdefault(proxy.supplier(route.at), []).append(route)
    return found


def _way(host: Host, known: Snapshot, viewer: Viewer, path: str) -> SocketPath:
    steps = tuple(_steps(viewer, path))
    last, stat = steps[-1]
    blocked = next((step for step, _ in steps if step.passes is False), None)
    elsewhere = dict.fromkeys(_elsewhere(host, known, path)) if last.kind is not FileKind.SOCKET else ()
    is_unknown = any(step.passes is None for step, _ in steps)
    return SocketPath(
        path=path,
        user=viewer.user,
        kind=last.kind,
        steps=tuple(step for step, _ in steps),
        is_reachable=False if blocked else None if is_unknown or last.kind is FileKind.MISSING else True,
        blocked_at=blocked.path if blocked else "",
        modified_at=of_epoch(stat.modified_s) if stat else None,
        seen_elsewhere=tuple(sorted(elsewhere, key=lambda each: each != path)),  # the very path first
    )


def _steps(viewer: Viewer, path: str) -> Iterator[tuple[PathStep, Stat | None]]:
    """Yield each component from the root on, including links and their targets; the last is the socket, or the first missing
    one.
    """
    left = [part for part in path.split("/") if part][::-1]
    at, links = "/", _LINKS
    stat = viewer.seen.stat(at)
    yield _step(viewer, at, stat, is_last=not left), stat
    while left:
        name = left.pop()
        if name == ".":
            continue
        if name == "..":
            at = posixpath.dirname(at)
            continue
        here = posixpath.join(at, name)
        try:
            stat = viewer.seen.stat(here, follow=False)
        except Missing:
            yield PathStep(path=here, kind=FileKind.MISSING), None
            return
        yield _step(viewer, here, stat, is_last=not left), stat
        if stat.kind is not FileKind.LINK:
            at = here
            continue
        links -= 1
        if not links:
            raise HostError(f"{path}: too many symbolic links")
        aim = viewer.seen.link(here)
        left += [part for part in aim.split("/") if part][::-1]
        at = "/" if aim.startswith("/") else at


def _step(viewer: Viewer, path: str, stat: Stat, *, is_last: bool) -> PathStep:
    acl = (attempt(partial(viewer.seen.acl, path)) or ()) if stat.kind is not FileKind.LINK else ()
    passes: bool | None = True
    if stat.kind is not FileKind.LINK:
        wanted = WRITE if is_last else SEARCH
        passes = permits(stat, acl, viewer.who, wanted) if viewer.who is not None else None
        if not is_last and stat.kind is not FileKind.DIRECTORY:
            passes = None  # ENOTDIR is unrelated to permissions
    return PathStep(
        path=path,
        kind=stat.kind,
        mode=f"{stat.mode:04o}",
        owner=viewer.user_name(stat.uid),
        group=viewer.group_name(stat.gid),
        passes=passes,
    )


def _elsewhere(host: Host, known: Snapshot, path: str) -> Iterator[str]:
    """Yield the paths of sockets with the same name: other listeners, other roots, and systemd's private directories for /tmp."""
    name = posixpath.basename(path)
    processes = {process.pid: process for process in known.processes or ()}
    for listener in known.listeners or ():
        if posixpath.basename(listener.target.path) != name:
            continue
        owner = next((processes[pid] for pid in listener.pids if pid in processes), None)
        private = _private_path(listener.target.path, owner.private_tmp) if owner and owner.private_tmp else ""
        if private:
            yield private
        elif owner and owner.mounts:
            yield f"/proc/{owner.pid}/root{listener.target.path}"
        elif listener.target.path != path or _is_socket(host, path):
            yield listener.target.path
    for tmp in _TMP:
        for directory in attempt(partial(host.list, tmp)) or ():
            if directory.startswith("systemd-private-"):
                candidate = f"{tmp}/{directory}/tmp/{path.removeprefix(f'{tmp}/') if path.startswith(f'{tmp}/') else name}"
                if _is_socket(host, candidate):
                    yield candidate


def _is_socket(host: Host, path: str) -> bool:
    """Return whether a socket is there, in the host's own root."""
    found = attempt(partial(host.stat, path))
    return found is not None and found.kind is FileKind.SOCKET


def _private_path(path: str, private_tmp: str) -> str:
    return private_tmp + path.removeprefix("/tmp") if path.startswith("/tmp/") else ""
