"""dpkg of Debian and its relatives: `2026-11-23 11:59:01 upgrade nodejs:amd64 18.1 18.2` (dpkg(1), --log)."""

from __future__ import annotations

from contextlib import suppress

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.watch.packages.entry import MOST_READ, Entry, time_of

LOGS = ("/var/log/dpkg.log",)
FILES = "/var/lib/dpkg/info"
_LINE = lazy(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (install|upgrade|remove) ([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9]+))? (\S+) (\S+)")
_PAST = {"install": "installed", "upgrade": "upgraded", "remove": "removed"}


def parse(line: str) -> Entry | None:
    """Return what a line tells of a package."""
    found = _LINE.match(line)
    if found is None or (at := time_of(found[1])) is None:
        return None
    return Entry(found[3], _PAST[found[2]], at, found[6], found[4] or "")


def paths(host: Host, entry: Entry) -> tuple[str, ...]:
    """Return the files of a package. Raises HostError."""
    with suppress(HostError):
        return _listed(host, f"{entry.name}:{entry.architecture}")
    return _listed(host, entry.name)


def _listed(host: Host, name: str) -> tuple[str, ...]:
    return tuple(host.read(f"{FILES}/{name}.list", limit_bytes=MOST_READ).decode("utf-8", "replace").splitlines())
