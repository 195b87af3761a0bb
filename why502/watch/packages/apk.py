"""apk of Alpine, from version 3 on: `(1/5) Upgrading nginx (1.26.2-r0 -> 1.26.3-r0)`. Earlier versions write no log.

Only the line before a run has a time, so a change has the time at which its line was written. The files of packages are in the
database of apk (apk-v2(5): P is a package, F a directory, R a file in it).
"""

from __future__ import annotations

from why502.host.base import Host
from why502.model.patterns import lazy
from why502.watch.packages.entry import Entry

LOGS = ("/var/log/apk.log",)
DATABASE = "/lib/apk/db/installed"
MOST_BYTES = 16 << 20
_LINE = lazy(
    r"\( *\d+/\d+\) (Installing|Upgrading|Downgrading|Reinstalling|Replacing|Purging) "
    r"([A-Za-z0-9][A-Za-z0-9._+-]*) \((?:\S+ -> )?([^\s()]+)\)"
)
_PAST = {
    "Installing": "installed",
    "Upgrading": "upgraded",
    "Downgrading": "downgraded",
    "Reinstalling": "reinstalled",
    "Replacing": "reinstalled",
    "Purging": "removed",
}


def parse(line: str) -> Entry | None:
    """Return what a line tells of a package."""
    found = _LINE.match(line)
    return Entry(found[2], _PAST[found[1]], None, found[3]) if found else None


def paths(host: Host, entry: Entry) -> tuple[str, ...]:
    """Return the files of a package. Raises HostError."""
    text = host.read(DATABASE, limit_bytes=MOST_BYTES).decode("utf-8", "replace")
    record = f"\n\n{text}".partition(f"\nP:{entry.name}\n")[2].partition("\n\n")[0]
    found, directory = [], ""
    for line in record.splitlines():
        if line.startswith("F:"):
            directory = line[2:]
        elif line.startswith("R:"):
            found.append(f"/{directory}/{line[2:]}" if directory else f"/{line[2:]}")
    return tuple(found)
