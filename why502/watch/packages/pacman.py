"""pacman of Arch: `[2026-09-18T14:32:01+0545] [ALPM] upgraded nginx (1.26.2-1 -> 1.26.3-1)` (pacman(8)); before 2019 without
seconds and zone. The files of a package are in its directory of the local database (alpm-files).
"""

from __future__ import annotations

from why502.host.base import Host
from why502.model.patterns import lazy
from why502.watch.packages.entry import MOST_READ, Entry, time_of

LOGS = ("/var/log/pacman.log",)
DATABASE = "/var/lib/pacman/local"
_LINE = lazy(
    r"\[(\d{4}-\d\d-\d\d[T ][\d:+-]{5,16})\] \[ALPM\] (installed|upgraded|downgraded|reinstalled|removed) "
    r"([a-z0-9@_+][a-z0-9@._+-]*) \((?:\S+ -> )?([A-Za-z0-9:._+~-]+)\)"
)


def parse(line: str) -> Entry | None:
    """Return what a line tells of a package."""
    found = _LINE.match(line)
    if found is None or (at := time_of(found[1])) is None:
        return None
    return Entry(found[3], found[2], at, found[4])


def paths(host: Host, entry: Entry) -> tuple[str, ...]:
    """Return the files of a package. Raises HostError."""
    text = host.read(f"{DATABASE}/{entry.name}-{entry.version}/files", limit_bytes=MOST_READ).decode("utf-8", "replace")
    names = text.partition("%FILES%\n")[2].partition("\n\n")[0]
    return tuple(f"/{name}" for name in names.splitlines())
