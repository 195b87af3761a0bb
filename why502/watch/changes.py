"""The ledger of changes on this machine: what started, stopped, was installed, renewed, released or edited, and when.

Looks every ten seconds at things that are cheap to look at (links, sizes and times of files), and at the rest only when those
differ.
"""

from __future__ import annotations

import hashlib
import posixpath
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from why502.host.base import Host, Stat
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.snapshot import Snapshot
from why502.model.times import of_epoch
from why502.supervisors.systemd import starts
from why502.watch import concern, ledger
from why502.watch.model import Change, ChangeKind
from why502.watch.progress import Beat, unheard
from why502.watch.topology import is_certificate

NAME = "changes"  # of its thread
EVERY_S = 10.0
LATE_S = 120.0  # a look that takes longer hangs
DPKG_LOG = "/var/log/dpkg.log"
DPKG_FILES = "/var/lib/dpkg/info"
MOST_READ = 1 << 20
MOST_PATHS = 300  # of one package
MOST_WATCHED = 500
MOST_KNOWN = 500
_DPKG = lazy(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (install|upgrade|remove) ([a-z0-9][a-z0-9+.-]*)(:[a-z0-9]+)? (\S+) (\S+)")
_TELLING = ("/bin/", "/sbin/", "/etc/", "/systemd/system/", "/lib/jvm/")  # of a package, paths that a target may be made of
_OF_THE_SYSTEM = ("/usr/", "/bin", "/sbin", "/lib", "/proc/", "/dev/", "/run/", "/var/run", "/sys/", "/etc/alternatives/")


class Looks:
    """What was seen last, to compare with. Each method yields the changes since; the first call only learns."""

    def __init__(self, host: Host) -> None:
        """Look at this machine."""
        self._host = host
        self._units: dict[str, str] | None = None
        self._packages = _LogEnd()
        self._files: dict[str, tuple[Stat | None, str]] = {}
        self._links: dict[str, str | None] = {}

    def watch(self, snapshot: Snapshot) -> None:
        """Watch the files and links that the gateways and backends of a snapshot use."""
        files = dict.fromkeys(_certificates(snapshot), ChangeKind.CERTIFICATE) | dict.fromkeys(
            _unit_files(snapshot), ChangeKind.CONFIG
        )
        self._kinds = dict(list(files.items())[:MOST_WATCHED])
        self._files = {path: self._files.get(path) or self._seen(path) for path in self._kinds}
        links = [link for path in _release_paths(snapshot) for link in self._links_of(path)]
        names = list(dict.fromkeys(links))[:MOST_WATCHED]
        known = [name for name in names if name not in self._links]
        self._links = {name: self._links.get(name) for name in names} | dict(zip(known, self._host.link_all(known), strict=True))

    def units(self, now: datetime) -> Iterator[Change]:
        """Yield starts and ends of systemd's services."""
        after = starts.invocations(self._host)
        before, self._units = self._units, after
        if before is None or before == after:
            return
        for each in starts.changes(self._host, before, after, now):
            detail = "started" if each.is_start else "stopped" if each.is_ordered else f"failed: {each.result}"
            if not each.is_start and not each.is_ordered and each.result == "success":
                detail = "ended by itself"
            pids = (each.pid,) if each.pid else ()
            yield Change(
                kind=ChangeKind.UNIT, subject=each.unit, at=each.at, detail=detail, units=(each.unit,), pids=pids,
                is_planned=each.is_ordered,
            )  # fmt: skip

    def packages(self) -> Iterator[Change]:
        """Yield installed, upgraded and removed packages of Debian (dpkg(1), --log)."""
        for line in self._packages.added(self._host, DPKG_LOG):
            if match := _DPKG.match(line):
                at = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").astimezone(UTC)
                version = f" to {match[6]}" if match[2] == "upgrade" else ""
                yield Change(
                    kind=ChangeKind.PACKAGE, subject=match[3], at=at, detail=f"{_PAST[match[2]]}{version}",
                    paths=self._paths_of(match[3], match[4] or ""), is_planned=True,
                )  # fmt: skip

    def files(self) -> Iterator[Change]:
        """Yield certificates and unit files with another content."""
        for path, (before, digest) in list(self._files.items()):
            now = self._stat(path)
            if now == before:
                continue
            self._files[path] = self._seen(path)
            if self._files[path][1] != digest:
                at = of_epoch(now.modified_s) if now else None
                detail = "removed" if now is None else "changed"
                yield Change(
                    kind=self._kinds[path],
                    subject=path,
                    at=at or datetime.now(UTC),
                    detail=detail,
                    paths=(path,),
                    is_planned=True,
                )

    def links(self, now: datetime) -> Iterator[Change]:
        """Yield links to releases that were switched."""
        names = list(self._links)
        for name, link in zip(names, self._host.link_all(names), strict=True):
            before, self._links[name] = self._links[name], link
            if link is not None and before is not None and link != before:
                with suppress(HostError):
                    now = of_epoch(self._host.stat(name, follow=False).modified_s) or now
                yield Change(
                    kind=ChangeKind.RELEASE, subject=name, at=now, detail=f"leads to {link}", paths=(name,), is_planned=True
                )

    def _stat(self, path: str) -> Stat | None:
        try:
            return self._host.stat(path)
        except HostError:
            return None

    def _seen(self, path: str) -> tuple[Stat | None, str]:
        found = self._stat(path)
        try:
            return found, hashlib.sha256(self._host.read(path, limit_bytes=MOST_READ)).hexdigest()
        except HostError:
            return found, ""

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

    def _paths_of(self, package: str, architecture: str) -> tuple[str, ...]:
        for name in (f"{package}{architecture}", package):
            with suppress(HostError):
                text = self._host.read(f"{DPKG_FILES}/{name}.list", limit_bytes=MOST_READ).decode("utf-8", "replace")
                return tuple(path for path in text.splitlines() if any(part in path for part in _TELLING))[:MOST_PATHS]
        return ()


_PAST = {"install": "installed", "upgrade": "upgraded", "remove": "removed"}


@dataclass(slots=True)
class _LogEnd:
    """How far a log was read; the first time it is only found."""

    inode: int | None = None
    offset: int = 0
    rest: bytes = b""

    def added(self, host: Host, path: str) -> list[str]:
        """Return the lines since the last call. Raises HostError."""
        found = host.stat(path)
        is_first, self_inode = self.inode is None, self.inode
        if is_first:
            self.offset = found.size_bytes
        elif found.inode != self_inode or found.size_bytes < self.offset:
            self.offset, self.rest = 0, b""
        self.inode = found.inode
        if found.size_bytes == self.offset:
            return []
        with host.open(path) as stream:
            stream.seek(self.offset)
            content = stream.read(MOST_READ)
        self.offset += len(content)
        *lines, self.rest = (self.rest + content).split(b"\n")
        self.rest = self.rest[-4096:]
        return [line.decode("utf-8", "replace") for line in lines]


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
                self.known = [*self.known, change][-MOST_KNOWN:]
            self.put(change)


class ChangeRecorder:
    """The thread that looks for changes. `put` gets each of them once. `known`: those that an earlier run told."""

    def __init__(self, host: Host, put: Callable[[Change], None], known: Iterable[Change] = (), beat: Beat = unheard) -> None:
        """Look at this machine. `beat` is told that it looks."""
        self._beat = beat
        self._ledger = Ledger(put, list(known)[-MOST_KNOWN:])
        self._looks = Looks(host)
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
            "packages": self._looks.packages,
            "files": self._looks.files,
            "links": lambda: self._looks.links(now),
        }
        for find in looks.values():
            with suppress(HostError):  # what cannot be looked at has no changes: a diagnosis names the gap
                self._ledger.add(list(find()))
