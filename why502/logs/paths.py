"""Response statuses by path, in bounded memory.

Bounds: MOST_PATHS paths over all servers. Later paths are counted by their first segment, then by their server alone. At most
MOST_REQUESTS different request lines are considered; later new ones are not counted, whether refused or served.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from why502.logs.scan.routes import NONE, ODD, route
from why502.logs.verdicts import REFUSALS
from why502.logs.zone import moment
from why502.model.logs import PathTraffic
from why502.redaction import redact

MOST_PATHS = 4096
MOST_REQUESTS = 1 << 15
LONGEST = 256  # only this many characters of a request line are read
MOST_CLIENTS = 8
MOST_STATUSES = 40
STEP_S = 1  # and MOST_STEPS of them: refusals after the last step are counted in it
MOST_STEPS = 1000
# Logged when the connection ends. It may have been opened long ago, so it is not evidence about the requests refused since
UPGRADED = 101
Key = tuple[str, str]  # server, request


class _Path:
    __slots__ = ("clients", "refusals", "refused", "served", "statuses", "upgraded")

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.clients: set[int] = set()
        self.refusals: Counter[int] = Counter()  # by time step
        self.refused = self.served = self.upgraded = -math.inf

    def since(self) -> int:
        """Return the number of requests refused after the last one that was served, excluding those in the same step."""
        return sum(count for step, count in self.refusals.items() if step * STEP_S > self.served)


class Paths:
    """Response counts by path."""

    def __init__(self) -> None:
        self._paths: dict[Key, _Path] = {}
        self._keys: dict[tuple[str, str], Key | None] = {}

    def add(self, server: str, request: str, status: int, at: float, count: int = 1, clients: Iterable[int] = ()) -> None:
        """Count responses to one request line. `clients` are the marks of the clients, `at` is the time of the last response."""
        key = self._key(server, request)
        if key is None:
            return
        path = self._paths.setdefault(key, _Path())
        shown = f"{status:03d}"
        if shown in path.statuses or len(path.statuses) < MOST_STATUSES:
            path.statuses[shown] += count
        if status in REFUSALS:
            path.refused = max(path.refused, at)
            step = int(at) // STEP_S
            path.refusals[step if step in path.refusals or len(path.refusals) < MOST_STEPS else max(path.refusals)] += count
            path.clients.update(clients)
        elif status == UPGRADED:
            path.upgraded = max(path.upgraded, at)
        elif status < 500:
            path.served = max(path.served, at)

    def merge(self, other: Paths) -> None:
        """Add the counts of a later part of the logs."""
        for (server, request), theirs in other._paths.items():
            mine = self._paths.setdefault(self._room(server, request), _Path())
            mine.statuses += theirs.statuses
            mine.clients |= theirs.clients
            mine.refusals += theirs.refusals
            mine.refused, mine.served = max(mine.refused, theirs.refused), max(mine.served, theirs.served)
            mine.upgraded = max(mine.upgraded, theirs.upgraded)

    def of_server(self, server: str) -> Paths:
        """Return the counts with all their paths on one server: the only one that writes to the log."""
        found = Paths()
        for (_, request), path in self._paths.items():
            other = Paths()
            other._paths[server, request] = path
            found.merge(other)
        return found

    def value(self) -> tuple[PathTraffic, ...]:
        """Return all paths, sorted by name."""
        return tuple(
            PathTraffic(
                server=server,
                request=redact(request),
                statuses=dict(sorted(path.statuses.items())),
                clients=min(len(path.clients), MOST_CLIENTS),
                refused_since=path.since(),
                last_refused=moment(path.refused),
                last_served=moment(max(path.served, path.upgraded)),
            )
            for (server, request), path in sorted(self._paths.items())
        )

    def _key(self, server: str, request: str) -> Key | None:
        line = (server, request.partition("?")[0][:LONGEST])
        if line not in self._keys:
            if len(self._keys) >= MOST_REQUESTS:
                return None
            shown = route(line[1] if line[1][:1] != "/" else f"GET {line[1]}")
            self._keys[line] = None if shown in (NONE, ODD) else self._room(server, shown)
        return self._keys[line]

    def _room(self, server: str, request: str) -> Key:
        """Return the key to count a path by: the path itself while there is room."""
        method, _, path = request.partition(" ")
        for shown in (request, f"{method} /{path.split('/')[1] if '/' in path else ''}/..."):
            if (server, shown) in self._paths or len(self._paths) < MOST_PATHS:
                return server, shown
        return server, ""
