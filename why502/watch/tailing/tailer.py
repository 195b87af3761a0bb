"""Follows all logs of the gateways on this machine, also through reloads of their configuration."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from why502.logs.checkpoint import Checkpoint
from why502.model.snapshot import Gap, Snapshot
from why502.watch.tailing.found import Family, Log, find
from why502.watch.tailing.places import Places
from why502.watch.tailing.reader import CATCH_UP_S, HISTORY_S, Claims, Group, Put, Reader, Times

STOP_S = 5.0
UNSEEN_S = 60.0  # so long a new gateway may run before it is found
RETIRED_S = 3600.0
RESCAN_S = 5.0  # how often new files of logs with variables in their names are looked for


class Wait(Protocol):
    """How a thread waits: for so many seconds, or until it is to end, which is then returned as true."""

    def __call__(self, timeout_s: float, /) -> bool:
        """Wait."""
        ...


class Tailer:
    """Follows the logs that a snapshot names, and those `given` by paths, from their checkpoints on; without one, from `since`
    (seconds since the epoch).

    `put` is called from several threads with what each log added. The checkpoint in it says how far its log is counted: whoever
    keeps the counts keeps it with them. `reread` is called when lines no longer have the format of the configuration: it is
    to read the configuration again, and to call `update`.
    """

    def __init__(
        self,
        found: Snapshot,
        checkpoints: Mapping[str, Checkpoint],
        since: float | None,
        put: Put,
        *,
        times: Times | None = None,
        wait: Wait | None = None,
        reread: Callable[[], None] | None = None,
        given: Sequence[str] = (),
    ) -> None:
        self._given = given
        self.gaps: tuple[Gap, ...] = ()
        self._times = times or Times()
        self._times.began_at = self._times.monotonic() if self._times.began_at is None else self._times.began_at
        self._checkpoints = checkpoints
        self._since = self._times.wall() - HISTORY_S if since is None else since
        self._put = put
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._groups: dict[str, Group] = {}
        self._readers: dict[str, Reader] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._claims = Claims()
        self._is_started = False
        self._families: tuple[Family, ...] = ()
        self._snapshot = found
        self._retired: dict[str, tuple[float, Checkpoint | None]] = {}  # when they were written to last, how far they were read
        self._reread = reread
        self._lock = threading.Lock()
        self._finder: threading.Thread | None = None
        self._take(found)

    def start(self) -> None:
        """Begin to follow: one thread for each log, and one that looks for new files."""
        self._is_started = True
        self._begin()
        if self._finder is None:
            self._finder = threading.Thread(target=self._find, name="log finder", daemon=True)
            self._finder.start()

    def update(self, snapshot: Snapshot) -> None:
        """Follow what the configuration names now; what it no longer names is followed until nobody writes to it."""
        watched_s = UNSEEN_S if self._times.began_at is None else self._times.monotonic() - self._times.began_at
        self._since = self._times.wall() - min(watched_s, UNSEEN_S)
        self._take(snapshot)
        if self._is_started:
            self._begin()

    @property
    def is_caught_up(self) -> bool:
        """Return whether every log was read up to its end at least once, and everything read was put."""
        is_read = all(reader.has_caught_up for reader in list(self._readers.values()))
        return is_read and not any(group.is_waiting for group in list(self._groups.values()))

    def turn(self) -> bool:
        """Read every log once in this thread, error logs last; return whether there is more to read. For use without `start`."""
        self._rescan()
        readers = sorted(self._readers.values(), key=lambda reader: reader.log.is_error_log)
        is_behind = [reader.turn() for reader in readers]
        return any(is_behind)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End all threads, put what was read, and close the logs. A log whose mount hangs is left to itself."""
        self._stop.set()
        until = self._times.monotonic() + timeout_s
        if self._finder is not None:  # first: it may begin the thread of another log
            self._finder.join(timeout_s)
        for thread in self._threads.values():
            thread.join(max(until - self._times.monotonic(), 0.0))
        for group in self._groups.values():
            group.release(is_over=True)
        for name, reader in self._readers.items():
            if name not in self._threads or not self._threads[name].is_alive():
                reader.close()

    def _take(self, snapshot: Snapshot) -> None:
        found = find(snapshot, self._given)
        with self._lock:
            self.gaps, self._families, self._snapshot = found.gaps, found.families, snapshot
            for name in [name for name, reader in self._readers.items() if reader.is_over]:
                self._end(name, 0.0)
            for log in found.logs:
                self._add(log, self._since)
            for name in self._readers.keys() - {log.name for log in found.logs}:
                family = next((one for one in found.families if fnmatch.fnmatchcase(name, one.pattern)), None)
                if family is None:
                    self._readers[name].leave()
                else:
                    self._add(replace(family.log, name=name, path=name), self._since)

    def _add(self, log: Log, since: float) -> None:
        """Follow a log, or go on following it with what the configuration says of it now."""
        name = log.proxy.kind
        group = self._groups.setdefault(name, Group(name, self._put, self._times))
        group.flush_s = max(group.flush_s, log.flush_s)
        places = Places(log.proxy, self._snapshot.names or (), log.servers)
        if log.name in self._readers:
            self._readers[log.name].change(log, places)
            return
        group.has_access |= not log.is_error_log
        if log.is_error_log:
            group.expect(log.name)
        checkpoint = self._retired.get(log.name, (0.0, None))[1] or self._checkpoints.get(log.name)
        made = Reader(log, group, places, self._put, self._times, self._claims, checkpoint, since, self._reread)
        self._readers[log.name] = made

    def _rescan(self) -> None:
        """Follow the new files of logs with variables in their names."""
        for family in self._families:
            is_known = any(fnmatch.fnmatchcase(name, family.pattern) for name in self._checkpoints)
            since = self._times.wall() - CATCH_UP_S if is_known else self._since
            found = family.members(since)  # not under the lock: the directory may hang
            with self._lock:
                for modified_s, log in found:
                    if log.name not in self._readers and modified_s > self._retired.get(log.name, (0.0, None))[0]:
                        self._add(log, since)
                for modified_s, log in found[:-1]:
                    self._retire(log.name, modified_s)

    def _retire(self, name: str, modified_s: float) -> None:
        """End following a file of a family that is silent for long, and not its newest."""
        reader = self._readers.get(name)
        if reader is None or reader.silent_s < RETIRED_S:
            return
        reader.leave()
        if reader.is_over:
            self._end(name, modified_s)

    def _end(self, name: str, modified_s: float) -> None:
        """Remember how far a log was read; its thread ends by itself."""
        reader = self._readers.pop(name)
        self._retired[name] = (modified_s, reader.kept)
        if self._threads.pop(name, None) is None:
            reader.close()

    def _begin(self) -> None:
        """Start the threads of logs that have none."""
        with self._lock:
            for name in [name for name in self._readers if name not in self._threads]:
                thread = threading.Thread(target=self._run, args=(self._readers[name],), name=f"log {name}", daemon=True)
                self._threads[name] = thread
                thread.start()

    def _find(self) -> None:
        while not self._stop.is_set():
            if self._families:
                self._rescan()
                self._begin()
            if self._wait(RESCAN_S):
                return

    def _run(self, reader: Reader) -> None:
        while not self._stop.is_set() and not reader.is_over:
            try:
                is_behind = reader.turn()
            except Exception as error:  # a mistake of ours with one log must not end the others
                reader.fail(error)
                is_behind = False
            if not is_behind and self._wait(reader.pause_s()):
                return
        if reader.is_over:
            reader.close()
