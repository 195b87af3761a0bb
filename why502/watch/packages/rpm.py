"""rpm, by the logs of dnf and yum: `2026-02-14T09:30:12+0000 SUBDEBUG Upgrade: nginx-1:1.26.3-1.el9.x86_64`, and without a year
`Feb 14 09:30:12 Updated: 1:nginx-1.20.1-10.el7.x86_64` (yum).

dnf writes a pair for what it replaces: Upgrade names the new package, Upgraded the one that it replaced, which is left out.
"""

from __future__ import annotations

from why502.host.base import Host
from why502.model.patterns import lazy
from why502.watch.packages.entry import Entry, time_of

LOGS = ("/var/log/dnf.rpm.log", "/var/log/yum.log")
LIMIT_S = 5.0
_NAME = r"([A-Za-z0-9][A-Za-z0-9._+-]*)"
# name-[epoch:]version-release[.arch]: the name ends before the last hyphen but one. yum puts the epoch before the name.
_PACKAGE = rf"(?:\d+:)?{_NAME}-((?:\d+:)?[^\s:-]+-[^\s:-]+)"
_DNF = lazy(rf"(\S+) (?:SUBDEBUG|INFO) (Installed|Upgrade|Downgrade|Reinstall|Erase): {_PACKAGE}\s*$")
_YUM = lazy(rf"[A-Z][a-z]{{2}} [\d ]\d \d\d:\d\d:\d\d (Installed|Updated|Erased): (?:{_PACKAGE}|{_NAME})\s*$")
_PAST = {
    "Installed": "installed",
    "Upgrade": "upgraded",
    "Updated": "upgraded",
    "Downgrade": "downgraded",
    "Reinstall": "reinstalled",
    "Erase": "removed",
    "Erased": "removed",
}


def parse(line: str) -> Entry | None:
    """Return what a line tells of a package."""
    if found := _DNF.match(line):
        at = time_of(found[1])
        return Entry(found[3], _PAST[found[2]], at, _version(found[4])) if at else None
    if found := _YUM.match(line):
        return Entry(found[2] or found[4], _PAST[found[1]], None, _version(found[3] or ""))
    return None


def paths(host: Host, entry: Entry) -> tuple[str, ...]:
    """Return the files of a package (rpm(8), --query --list). Raises HostError."""
    done = host.run("rpm", "--query", "--list", entry.name, timeout_s=LIMIT_S)
    return tuple(line for line in done.stdout.splitlines() if line.startswith("/")) if not done.status else ()


def _version(text: str) -> str:
    """Return a version without the architecture."""
    return text.rpartition(".")[0] or text
