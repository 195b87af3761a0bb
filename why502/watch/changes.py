"""The ledger of changes on this machine: what started, stopped, was installed, renewed, released or edited, and when.

Looks every ten seconds at things that are cheap to look at (links, sizes and times of files), and at the rest only when those
differ.
"""

from __future__ import annotations

import hashlib
import posixpath
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from types import ModuleType
from typing import TypeVar

from why502.host.base import Host, Stat
from why502.machine.attempt import attempt
from why502.model.errors import HostError
from why502.model.snapshot import Snapshot
from why502.model.times import of_epoch
from why502.redaction import redact
from why502.supervisors.systemd import starts
from why502.watch import concern, ledger
from why502.watch.concern import AFTER
from why502.watch.model import Change, ChangeKind, Seen, SeenFile
from why502.watch.packages import managers
from why502.watch.packages.entry import Entry
from why502.watch.progress import Beat, ignore_beat
from why502.watch.topology import is_certificate

NAME = "changes"  # of its thread
EVERY_S = 10.0
LATE_S = 120.0  # a look that takes longer hangs
MOST_READ = 1 << 20
MOST_FIRST = 1 << 16  # of a log that is read for the first time
MOST_PATHS = 300  # of one package
ASKING_S = 20.0  # for the files of packages, in one look
MOST_WATCHED = 500
MOST_KNOWN = 500
T = TypeVar("T")
_TELLING = ("/bin/", "/sbin/", "/etc/", "/systemd/system/", "/lib/jvm/")  # of a package, paths that a target may be made of
_OF_THE_SYSTEM = ("/usr/", "/bin", "/sbin", "/lib", "/proc/", "/dev/", "/run/", "/var/run", "/sys/", "/etc/alternatives/")


class Looks:
    """What was seen last, to compare with. Each method yields the changes since; the first call only learns.

    `earlier`: what an earlier run saw, and kept.
    """

    def __init__(self, host: Host, earlier: Seen | None = None) -> None:
        """Look at this machine."""
        self._host = host
        self._earlier = earlier or Seen(at=datetime.now(UTC))
        self._looked_at = self._earlier.at
        self._units = self._earlier.units
        self._packages: dict[str, _LogEnd] = {}
        self._kinds: dict[str, ChangeKind] = {}
        self._files: dict[str, SeenFile] = {}
        self._links: dict[str, str | None] = {}

    def state(self) -> tuple[object, ...]:
        """Return all that is compared, to tell whether it is the same as at the last look."""
        return self._units, dict(self._files), dict(self._links)

    def seen(self) -> Seen:
        """Return what to compare with after a pause: also of files and links that nothing uses at the moment."""
        files, links = self._earlier.files | self._files, self._earlier.links | self._links
        return Seen(at=self._looked_at, units=self._units, files=_last(files), links=_last(links))

    def watch(self, snapshot: Snapshot) -> None:
        """Watch the files and links that the gateways and backends of a snapshot use."""
        files = dict.fromkeys(_certificates(snapshot), ChangeKind.CERTIFICATE) | dict.fromkeys(
            _unit_files(snapshot), ChangeKind.CONFIG
        )
        self._kinds = dict(list(files.items())[:MOST_WATCHED])
        self._files = {path: self._files.get(path) or self._earlier.files.get(path) or self._seen(path) for path in self._kinds}
        links = [link for path in _release_paths(snapshot) for link in self._links_of(path)]
        names = list(dict.fromkeys(links))[:MOST_WATCHED]
        before = self._earlier.links | self._links
        new = [name for name in names if name not in before]
        self._links = {name: before.get(name) for name in names} | dict(zip(new, self._host.link_all(new), strict=True))

    def units(self, now: datetime) -> Iterator[Change]:
        """Yield starts and ends of systemd's services."""
        after = starts.invocations(self._host)
        before, self._units = self._units, after
        if before is None or before == after:
            return
        for each in starts.changes(self._host, before, after, now):
            detail = "started" if each.is_start else "stopped" if each.is_ordered else f"failed: {each.result}"
            if not each.is_start and not each.is_ordered and each.result == "success":
                detail = "exited on its own"
            pids = (each.pid,) if each.pid else ()
            yield Change(
                kind=ChangeKind.UNIT, subject=each.unit, at=each.at, detail=detail, units=(each.unit,), pids=pids,
                is_planned=each.is_ordered,
            )  # fmt: skip

    def packages(self, now: datetime) -> Iterator[Change]:
        """Yield installed, upgraded and removed packages; with their files, as far as asking for them does not take long.

        The first time, those of the last half hour: they may be why something fails now.
        """
        until_s = time.monotonic() + ASKING_S
        for manager in managers():
            for log in manager.LOGS:
                with suppress(HostError):
                    end = self._packages.setdefault(log, _LogEnd())
                    since = now - concern.BEFORE if end.inode is None else None
                    written_at, lines = end.added(self._host, log)
                    for entry in filter(None, map(manager.parse, lines)):
                        if since is not None and (entry.at is None or entry.at < since):
                            continue
                        at = entry.at or written_at
                        yield Change(
                            kind=ChangeKind.PACKAGE, subject=entry.name, at=at, detail=entry.detail,
                            paths=self._paths_of(manager, entry) if time.monotonic() < until_s else (), is_planned=True,
                        )  # fmt: skip

    def files(self, now: datetime) -> Iterator[Change]:
        """Yield certificates and unit files with another content."""
        for path, before in list(self._files.items()):
            found = self._stat(path)
            if _stamp(found) == before.stamp:
                continue
            self._files[path] = self._seen(path)
            if self._files[path].digest != before.digest:
                yield Change(
                    kind=self._kinds[path],
                    subject=path,
                    at=self._time_of(found, now),
                    detail="changed" if found else "removed",
                    paths=(path,),
                    is_planned=True,
                )

    def links(self, now: datetime) -> Iterator[Change]:
        """Yield links to releases that were switched."""
        names = list(self._links)
        for name, link in zip(names, self._host.link_all(names), strict=True):
            before, self._links[name] = self._links[name], link
            if link is not None and before is not None and link != before:
                at = self._time_of(attempt(partial(self._host.stat, name, follow=False)), now)
                yield Change(
                    kind=ChangeKind.RELEASE, subject=name, at=at, detail=f"leads to {link}", paths=(name,), is_planned=True
                )

    def ended(self, now: datetime) -> None:
        """Take what was told as known."""
        self._looked_at = now

    def _time_of(self, found: Stat | None, now: datetime) -> datetime:
        """Return when a file changed: its own time, unless that was given to it (`cp -p`, `rsync -t`), or it is gone."""
        at = of_epoch(found.modified_s) if found else None
        return at if at is not None and self._looked_at - AFTER <= at <= now else now

    def _stat(self, path: str) -> Stat | None:
        return attempt(partial(self._host.stat, path))

    def _seen(self, path: str) -> SeenFile:
        stamp = _stamp(self._stat(path))
        try:
            return SeenFile(stamp=stamp, digest=hashlib.sha256(self._host.read(path, limit_bytes=MOST_READ)).hexdigest())
        except HostError:
            return SeenFile(stamp=stamp)

    def _links_of(self, path: str) -> Iterator[str]:
        """Yield the symbolic links on the way to a path, other than the system's own."""
        way = ""
        for part in path.split("/")[1:]:
            way = f"{way}/{part}"
            if way.startswith(_OF_THE_SYSTEM):
                return
            with suppress(HostError):
                self._host.link(way)
                yield way

    def _paths_of(self, manager: ModuleType, entry: Entry) -> tuple[str, ...]:
        with suppress(HostError):
            telling = (path for path in manager.paths(self._host, entry) if any(part in path for part in _TELLING))
            return tuple(islice(telling, MOST_PATHS))
        return ()


def _stamp(found: Stat | None) -> str:
    return f"{found.device}:{found.inode}:{found.size_bytes}:{found.modified_s}" if found else ""


def _last(found: dict[str, T]) -> dict[str, T]:
    """Return the last ones of the files or links whose names can be kept: without secrets."""
    return {path: found[path] for path in list(found)[-MOST_WATCHED:] if redact(path) == path}


@dataclass(slots=True)
class _LogEnd:
    """How far a log was read. The first time only its end is read; a log that was missing then is read from its start."""

    inode: int | None = None
    offset: int = 0
    rest: bytes = b""

    def added(self, host: Host, path: str) -> tuple[datetime, list[str]]:
        """Return when the log was modified, and the lines since the last call. Raises HostError."""
        try:
            found = host.stat(path)
        except HostError:
            self.inode = self.inode or 0
            raise
        if self.inode is None:
            self.offset = max(0, found.size_bytes - MOST_FIRST)
        elif found.inode != self.inode or found.size_bytes < self.offset:
            self.offset, self.rest = 0, b""
        self.inode = found.inode
        written_at = of_epoch(found.modified_s) or datetime.now(UTC)
        if found.size_bytes == self.offset:
            return written_at, []
        with host.open(path) as stream:
            stream.seek(self.offset)
            content = stream.read(MOST_READ)
        self.offset += len(content)
        *lines, self.rest = (self.rest + content).split(b"\n")
        self.rest = self.rest[-4096:]
        return written_at, [line.decode("utf-8", "replace") for line in lines]


def _certificates(snapshot: Snapshot) -> Iterator[str]:
    for proxy in snapshot.proxies or ():
        for route in proxy.routes:
            for name, settings in route.settings.items():
                if is_certificate(name):
                    for setting in settings:
                        if setting.args and not {"$", ":"} & set(setting.args[0]):
                            yield posixpath.join(posixpath.dirname(proxy.config) or "/", setting.args[0])


def _unit_files(snapshot: Snapshot) -> Iterator[str]:
    for service in snapshot.services or ():
        yield from (
            path for path in (service.unit_file, *service.settings.get("DropInPaths", "").split()) if path.startswith("/")
        )


def _release_paths(snapshot: Snapshot) -> Iterator[str]:
    """Yield the paths in which a release directory may be named: of services, processes, and documents of gateways."""
    for service in snapshot.services or ():
        yield from (word for word in (*service.argv, service.settings.get("WorkingDirectory", "")) if word.startswith("/"))
    for process in snapshot.processes or ():
        yield from (word for word in process.argv[:20] if word.startswith("/"))
    for proxy in snapshot.proxies or ():
        for route in proxy.routes:
            for setting in route.settings.get("root", ()):
                yield from (word for word in setting.args[:1] if word.startswith("/") and "$" not in word)


@dataclass(slots=True)
class Ledger:
    """The changes that were told, so that each is told once."""

    put: Callable[[Change], None]
    known: list[Change] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, changes: Iterable[Change]) -> None:
        """Tell the changes that are new."""
        for change in changes:
            with self.lock:
                if concern.is_known(change, self.known):
                    continue
                self.known = [*concern.without(change, self.known), change][-MOST_KNOWN:]
            self.put(change)


class ChangeRecorder:
    """The thread that looks for changes. `put` gets each of them once. `known`: those that an earlier run told.

    `keep` gets what was seen, each time that it is something else; a later run takes it as `earlier`.
    """

    def __init__(
        self,
        host: Host,
        put: Callable[[Change], None],
        known: Iterable[Change] = (),
        *,
        earlier: Seen | None = None,
        keep: Callable[[Seen], None] = lambda _: None,
        beat: Beat = ignore_beat,
    ) -> None:
        """Look at this machine. `beat` is told that it looks."""
        self._beat = beat
        self._keep = keep
        self._ledger = Ledger(put, list(known)[-MOST_KNOWN:])
        self._looks = Looks(host, earlier)
        self._kept: tuple[object, ...] | None = None
        self.has_looked = False  # at what the gateways use
        self._before: Snapshot | None = None
        self._given: Snapshot | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def update(self, snapshot: Snapshot) -> None:
        """Take what the gateways are now: their changes are told, and what they use is watched."""
        self._given = snapshot
        self._wake.set()

    def add(self, changes: Iterable[Change]) -> None:
        """Tell changes that a diagnosis saw."""
        self._ledger.add(changes)

    def stop(self, timeout_s: float) -> None:
        """End the thread, or leave it after this long."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._beat(NAME, LATE_S, is_curable=False)
            self.look(datetime.now(UTC))
            self._wake.wait(EVERY_S)
            self._wake.clear()

    def look(self, now: datetime) -> None:
        """Look once."""
        given, self._given = self._given, None
        if given is not None:
            with suppress(HostError):
                self._looks.watch(given)
            self._ledger.add(ledger.changes_in(given, self._before))
            self._before = given
        looks: Mapping[str, Callable[[], Iterator[Change]]] = {
            "units": lambda: self._looks.units(now),
            "packages": lambda: self._looks.packages(now),
            "files": lambda: self._looks.files(now),
            "links": lambda: self._looks.links(now),
        }
        for find in looks.values():
            with suppress(HostError):  # what cannot be looked at has no changes: a diagnosis names the gap
                self._ledger.add(list(find()))
        self._looks.ended(now)
        if (state := self._looks.state()) != self._kept:
            self._kept = state
            self._keep(self._looks.seen())
        if given is not None:
            self.has_looked = True
