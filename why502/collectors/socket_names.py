"""One identity for each unix socket: its listener with every path under which routes and logs name it.

A socket file has the path it was bound to, and often others: a link (Debian's /run/php/php-fpm.sock, a `current` directory of
releases, /var/run), a bind mount. Equal device and inode show that these are the same file.
"""

from __future__ import annotations

from functools import partial

import msgspec

from why502.collectors.base import CollectOptions, Found
from why502.collectors.owners import wanted
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.file_kind import FileKind
from why502.model.snapshot import Listener, Snapshot

SECTION = "listeners"
NEEDS = ("listeners", "php_fpm")
LIMIT_S = 2.5
PATHS = 64
LISTENERS = 256
Identity = tuple[int, int]


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[Listener, ...]]:
    """Return the listeners; unix sockets with the other paths that lead to them. None if listeners are unknown."""
    if known.listeners is None:
        return Found(None)
    bound = {listener.target.path for listener in known.listeners}
    paths = [target.path for target in wanted(known) if target.path.startswith("/") and target.path not in bound]
    names: dict[Identity, list[str]] = {}
    roots = dict.fromkeys(proxy.root for proxy in known.proxies or () if proxy.is_running) or {"": None}
    for path in paths[:PATHS]:
        for root in roots:
            if (found := _identity(host, root + path)) and path not in names.setdefault(found, []):
                names[found].append(path)
    if not names:
        return Found(known.listeners)
    left = LISTENERS
    named: list[Listener] = []
    for listener in known.listeners:
        if not listener.target.path.startswith("/") or not left:
            named.append(listener)
            continue
        left -= 1
        root = f"/proc/{listener.pids[0]}/root" if listener.pids else ""
        found = _identity(host, root + listener.target.path) or _identity(host, listener.target.path)
        named.append(msgspec.structs.replace(listener, names=tuple(names.get(found, ())) if found else ()))
    return Found(tuple(named))


def _identity(host: Host, path: str) -> Identity | None:
    """Return device and inode of a socket file; None if it is not a socket, or not readable."""
    stat = attempt(partial(host.stat, path))
    return (stat.device, stat.inode) if stat and stat.kind is FileKind.SOCKET and stat.inode else None
