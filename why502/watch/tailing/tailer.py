"""Follows all logs of the gateways on this machine, also through reloads of their configuration."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

from why502.logs.checkpoint import Checkpoint
from why502.model.snapshot import Gap, Snapshot
from why502.watch.tailing.found import Log, find
from why502.watch.tailing.places import Places
from why502.watch.tailing.reader import HISTORY_S, Group, Put, Reader, Times

STOP_S = 5.0
UNSEEN_S = 60.0  # so long a new gateway may run before it is found


class Wait(Protocol):
    """How a thread waits: for so many seconds, or until it is to end, which is then returned as true."""

    def __call__(self, timeout_s: float, /) -> bool:
        """Wait."""
        ...


class Tailer:
    """Follows the logs that a snapshot names, from their checkpoints on; without one, from `since` (seconds since the epoch).

    `put` is called from several threads with what each log added. The checkpoint in it says how far its log is counted: whoever
    keeps the counts keeps it with them.
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
    ) -> None:
        self.gaps: tuple[Gap, ...] = ()
        self._times = times or Times()
        self._times.started_at = self._times.started_at or self._times.wall()
        self._checkpoints = checkpoints
        self._since = self._times.started_at - HISTORY_S if since is None else since
        self._put = put
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._groups: dict[str, Group] = {}
        self._readers: dict[str, Reader] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._is_started = False
        self._take(found)

    def start(self) -> None:
        """Begin to follow: one thread for each log."""
        self._is_started = True
        for name in self._readers:
            self._begin(name)

    def update(self, snapshot: Snapshot) -> None:
        """Follow what the configuration names now; what it no longer names is followed until nobody writes to it."""
        self._since = max(self._times.started_at, self._times.wall() - UNSEEN_S)
        self._take(snapshot)
        if self._is_started:
            self.start()

    @property
    def is_caught_up(self) -> bool:
        """Return whether every log was read up to its end at least once."""
        return all(reader.has_caught_up for reader in list(self._readers.values()))

    def turn(self) -> bool:
        """Read every log once in this thread, error logs last; return whether there is more to read. For use without `start`."""
        readers = sorted(self._readers.values(), key=lambda reader: reader.log.is_error_log)
        is_behind = [reader.turn() for reader in readers]
        return any(is_behind)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End all threads, put what was read, and close the logs. A log whose mount hangs is left to itself."""
        self._stop.set()
        until = self._times.monotonic() + timeout_s
        for thread in self._threads.values():
            thread.join(max(until - self._times.monotonic(), 0.0))
        for group in self._groups.values():
            group.release(is_over=True)
        for name, reader in self._readers.items():
            if name not in self._threads or not self._threads[name].is_alive():
                reader.close()

    def _take(self, snapshot: Snapshot) -> None:
        found = find(snapshot)
        self.gaps = found.gaps
        for log in found.logs:
            name = log.proxy.kind
            group = self._groups.setdefault(name, Group(name, self._put, self._times))
            places = Places(log.proxy, snapshot.names or (), log.servers)
            if log.name in self._readers:
                self._readers[log.name].change(log, places)
                continue
            group.has_access |= not log.is_error_log
            if log.is_error_log:
                group.expect(log.name)
            self._readers[log.name] = self._reader(log, group, places)

    def _reader(self, log: Log, group: Group, places: Places) -> Reader:
        return Reader(log, group, places, self._put, self._times, self._checkpoints.get(log.name), self._since)

    def _begin(self, name: str) -> None:
        if name not in self._threads:
            self._threads[name] = threading.Thread(target=self._run, args=(self._readers[name],), name=f"log {name}", daemon=True)
            self._threads[name].start()

    def _run(self, reader: Reader) -> None:
        while not self._stop.is_set():
            if not reader.turn() and self._wait(reader.pause_s()):
                return
