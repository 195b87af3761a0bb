"""Whether a change on the machine concerns a target that fails: only if it touches the target's own process, unit or file.

That both happened at about the same time is not enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from why502.model.base import Value
from why502.watch.model import Change, ChangeKind

BEFORE = timedelta(minutes=30)
AFTER = timedelta(seconds=5)  # clocks and the seconds of logs
AT_THE_END = timedelta(minutes=2)
SAME = timedelta(seconds=3)  # clocks of a service manager, of a file system and of the boot time
SAME_FILE = timedelta(milliseconds=1)  # everybody reads the time of a file from the file
MOST = 5


class Scope(Value, frozen=True, kw_only=True):
    """What a target depends on, as far as it is known.

    Its processes, units and files; and the processes, units and files of the gateway that lead to it.
    """

    pids: tuple[int, ...] = ()
    units: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    proxy_pids: tuple[int, ...] = ()
    proxy_units: tuple[str, ...] = ()
    proxy_paths: tuple[str, ...] = ()


def touched(change: Change, scope: Scope, target: str) -> str:
    """Return what a change touches of the things that a target depends on; "" if nothing.

    A change that names its targets touches them, also those that no configuration names any more: a gateway that did not load an
    edit still uses them.
    """
    if change.targets:
        return next(iter(change.paths), change.subject) if target in change.targets else ""
    for unit in change.units:
        if unit in scope.units:
            return f"unit {unit}"
        if unit in scope.proxy_units and change.kind is not ChangeKind.RELOAD:
            return f"the gateway's unit {unit}"
    if pid := next((pid for pid in change.pids if pid in scope.pids), 0):
        return f"process {pid}"
    for path in change.paths:
        if path in (*scope.paths, *scope.proxy_paths) or _is_above(path, scope.paths):
            return path
    return ""


def _is_above(path: str, paths: Iterable[str]) -> bool:
    """Return whether something used lies below a path: `/srv/app/current` and `/srv/app/current/server.js`."""
    return path not in ("", "/") and any(other.startswith(f"{path.rstrip('/')}/") for other in paths)


def concerning(
    changes: Iterable[Change], scopes: Iterable[tuple[str, Scope]], begin: datetime, end: datetime
) -> tuple[Change, ...]:
    """Return the changes in this time that touch one of the targets (each with its scope), the last one first."""
    known = tuple(scopes)
    found = [
        change
        for change in changes
        if begin <= change.at <= end and any(touched(change, scope, target) for target, scope in known)
    ]
    return tuple(sorted(found, key=lambda change: change.at, reverse=True)[:MOST])


def before(changes: Iterable[Change], scopes: Iterable[tuple[str, Scope]], first_failure: datetime) -> tuple[Change, ...]:
    """Return the changes that may have caused failures, the one right before them first."""
    return concerning(changes, scopes, first_failure - BEFORE, first_failure + AFTER)


def at_the_end(changes: Iterable[Change], scopes: Iterable[tuple[str, Scope]], last_failure: datetime) -> tuple[Change, ...]:
    """Return the changes that may have ended failures."""
    return concerning(changes, scopes, last_failure - AFTER, last_failure + AT_THE_END)


def words(change: Change) -> str:
    """Return a change in a few words: "unit app.service started"."""
    kind = {ChangeKind.CONFIG: "file", ChangeKind.RELEASE: "link", ChangeKind.RELOAD: ""}.get(change.kind, change.kind.value)
    if change.kind is ChangeKind.UNIT and not change.units:
        kind = "process"  # no service manager knows it
    return " ".join(word for word in (kind, change.subject, change.detail) if word)


def is_known(change: Change, known: Iterable[Change]) -> bool:
    """Return whether a change is in the ledger already, perhaps with another clock's time, and not less precisely."""
    return any(_is_same(each, change) and (each.targets or not change.targets) for each in known)


def without(change: Change, known: Iterable[Change]) -> tuple[Change, ...]:
    """Return the other changes: without what was known of this one less precisely."""
    return tuple(each for each in known if not _is_same(each, change))


def _is_same(one: Change, other: Change) -> bool:
    apart = SAME_FILE if one.kind in (ChangeKind.CONFIG, ChangeKind.CERTIFICATE) else SAME
    return _what(one) == _what(other) and abs(one.at - other.at) <= apart


def _what(change: Change) -> tuple[ChangeKind, str, str, bool]:
    """Return what changed, and how: the first word of the detail is the same from every source."""
    return change.kind, change.subject, change.detail.partition(" ")[0].rstrip(":"), change.is_planned
