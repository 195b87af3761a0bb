"""Follows the gateways of the machine: looks at them again when one starts, stops, reloads, or has other files.

Looking costs tens of milliseconds, so it is done only after a change of the cheap signs: the children of each master process
(a reload replaces the workers), its configuration files, and new processes with the name of a gateway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from why502.gateways.nginx.command_line import is_nginx
from why502.gateways.running import by_process
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.watch.progress import Beat, ignore_beat

# What is read of the machine: its gateways, where they connect to, what serves that, and the services. No log is read.
FIRST = frozenset({"addresses", "proxies", "listeners", "php_fpm", "socket_names", "processes", "services"})
SOURCES = FIRST | {"names"}  # asks name servers, which may take seconds
LOOKS_AT_NEW = 3  # a process gets the name of its program only when it executes it
LONGEST_S = 300.0  # after so long they are looked at without a sign
NAME = "gateways"  # of its thread
LATE_S = 120.0  # a look that takes longer hangs
LEAST_TIMES = 20  # times as long as the last look took: servers that fork all the time cost little,
MOST_APART_S = 5.0  # or this long: a look is also slow when a program of the system does not answer

Sign = tuple[object, ...]


@dataclass(slots=True)
class Signs:
    """The cheap signs of a change on a machine."""

    host: Host
    _looks: dict[int, int] = field(default_factory=dict)  # by process id, how often its name was read

    def of(self, proxies: tuple[Proxy, ...]) -> Sign:
        """Return what is different after a change of these gateways, or after another one has started. Raises HostError."""
        masters = sorted(proxy.pid for proxy in proxies if proxy.pid)
        children = self.host.read_all([f"/proc/{pid}/task/{pid}/children" for pid in masters])
        files = {file.path for proxy in proxies if not proxy.root for file in proxy.files if not file.owner_uid}
        return (tuple(masters), children, tuple(self._file(path) for path in sorted(files)))

    def started(self) -> bool:
        """Return whether a gateway may have started since the last call. Raises HostError."""
        looks = {int(name): self._looks.get(int(name), 0) + 1 for name in self.host.list("/proc") if name.isdecimal()}
        new = [pid for pid, count in looks.items() if count <= LOOKS_AT_NEW]
        names = self.host.read_all([f"/proc/{pid}/comm" for pid in new], limit_bytes=64)
        found = [pid for pid, name in zip(new, names, strict=True) if name and is_gateway(name.decode("latin-1").strip())]
        self._looks = looks | dict.fromkeys(found, LOOKS_AT_NEW)
        return bool(found)

    def _file(self, path: str) -> object:
        try:
            seen = self.host.stat(path)
        except HostError as error:
            return error.reason
        return (path, seen.inode, seen.device, seen.modified_s, seen.size_bytes)


def is_gateway(name: str) -> bool:
    """Return whether a process with this name may be a gateway."""
    return name in by_process() or is_nginx(name)


class Gateways:
    """The thread that follows them. `look` returns the gateways now; `found` gets each result that differs.

    `clock` returns seconds that only go forward. `beat` is told that it looks.
    """

    def __init__(
        self,
        host: Host,
        look: Callable[[], Snapshot],
        found: Callable[[Snapshot], None],
        clock: Callable[[], float],
        every_s: float,
        beat: Beat = ignore_beat,
    ) -> None:
        self._beat = beat
        self._look, self._found, self._clock, self._every_s = look, found, clock, every_s
        self._signs = Signs(host)
        self._stop = threading.Event()
        self._again = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._proxies: tuple[Proxy, ...] = ()

    def start(self, snapshot: Snapshot) -> None:
        """Begin, from the gateways that are known."""
        self._proxies = snapshot.proxies or ()
        with suppress(HostError):
            self._signs.started()  # those that run are known
        self._thread.start()

    def look_again(self) -> None:
        """Look at them soon, whatever the signs say."""
        self._again.set()

    def stop(self, timeout_s: float) -> None:
        """End the thread, or leave it after this long."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        sign: Sign | None = None
        is_due, looked_s, least_s = False, self._clock(), 0.0
        while not self._stop.is_set():
            self._beat(NAME, LATE_S + self._every_s, is_curable=False)
            try:
                new = self._signs.of(self._proxies)
                is_due |= self._signs.started() or (sign is not None and new != sign) or self._again.is_set()
                passed_s = self._clock() - looked_s
                if (is_due and passed_s >= least_s) or passed_s > LONGEST_S:
                    self._again.clear()
                    is_due, looked_s = False, self._clock()
                    self._take(self._look())
                    least_s = min(LEAST_TIMES * (self._clock() - looked_s), MOST_APART_S)
                    before, new = new, self._signs.of(self._proxies)
                    is_due = new != before  # while it looked, or because the gateways are others: it looks once more
                sign = new
            except HostError:
                sign = None  # /proc cannot be read: the next round tells
            self._stop.wait(self._every_s)

    def _take(self, snapshot: Snapshot) -> None:
        if snapshot.proxies is None or self._stop.is_set():
            return  # unknown is not "there are none"
        if snapshot.proxies != self._proxies:
            self._proxies = snapshot.proxies
            self._found(snapshot)
