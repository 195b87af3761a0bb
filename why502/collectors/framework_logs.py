"""Log files that web frameworks write by convention and that no server configuration names.

Laravel: storage/logs/*.log; Symfony: var/log/prod.log; Rails: log/production.log; WordPress: wp-content/debug.log. They open the
file for a request and close it, so no descriptor leads there. Where the application lies is known from the web root, or from its
process.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial

from why502.diagnosis.targets import routes
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.snapshot import Snapshot
from why502.model.target import Target

DIRECTORIES = 16  # that are looked at
ENTRIES = 200  # of a directory of logs
_PUBLIC = frozenset({"public", "web", "pub", "htdocs", "webroot"})
_FILES = ("var/log/prod.log", "log/production.log", "wp-content/debug.log")
_DATED = "storage/logs"  # one file, or one for each day


def framework_logs(host: Host, known: Snapshot, listening: dict[Target, tuple[int, ...]]) -> Iterator[tuple[str, Target, int]]:
    """Yield the logs that are there, with the target whose application writes it and the user with whose rights it is
    to be read.
    """
    bases = list(dict.fromkeys((*_of_roots(known), *_of_processes(host, listening))))[:DIRECTORIES]
    for base, target in bases:
        for path in (*(f"{base}/{name}" for name in _FILES), *_newest(host, f"{base}/{_DATED}")):
            if attempt(partial(host.stat, path)) is not None and (uid := attempt(partial(host.supplier, path))) is not None:
                yield path, target, uid


def _of_roots(known: Snapshot) -> Iterator[tuple[str, Target]]:
    """Yield the directory of each application found by its web root, with the only target of the server's routes."""
    for route in routes(known):
        root = route.setting("root")
        targets = {
            peer.target for peer in route.peers if peer.target is not None and (peer.target.is_unix or peer.target.is_loopback)
        }
        if root is None or len(targets) != 1 or not root.args or not root.args[0].startswith("/") or "$" in root.args[0]:
            continue
        path = posixpath.normpath(root.args[0])
        base = posixpath.dirname(path) if posixpath.basename(path) in _PUBLIC else path
        if base.count("/") > 1:
            yield base, next(iter(targets))


def _of_processes(host: Host, listening: dict[Target, tuple[int, ...]]) -> Iterator[tuple[str, Target]]:
    """Yield the working directory of the process that listens on each target."""
    for target, pids in listening.items():
        for pid in pids[:1]:
            path = attempt(partial(host.link, f"/proc/{pid}/cwd")) or ""
            if path.startswith("/") and path.count("/") > 1 and not path.endswith(" (deleted)"):
                yield path, target


def _newest(host: Host, directory: str) -> Iterator[str]:
    """Yield the log of a directory that is named last: laravel.log, or laravel-2026-11-22.log."""
    names = sorted(name for name in (attempt(partial(host.list, directory)) or ())[:ENTRIES] if name.endswith(".log"))
    plain, dated = [name for name in names if "-" not in name], [name for name in names if "-" in name]
    yield from (f"{directory}/{name}" for name in (*plain[:2], *dated[-1:]))
