"""libzypp of SUSE: `2026-11-23 11:53:10|install|nginx|1.27.2-1.1|x86_64|root@web1|repo-oss|…`
(https://opensuse.github.io/libzypp/group__g__ZyppHistory.html). It writes `install` for an upgrade, too.
"""

from __future__ import annotations

from why502.model.patterns import lazy
from why502.watch.packages import rpm
from why502.watch.packages.entry import Entry, time_of

LOGS = ("/var/log/zypp/history",)
_LINE = lazy(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\|(install|remove) *\|([A-Za-z0-9][A-Za-z0-9._+-]*)\|([^|\s]*)\|([^|\s]*)\|")
_PAST = {"install": "installed", "remove": "removed"}
paths = rpm.paths


def parse(line: str) -> Entry | None:
    """Return what a line tells of a package."""
    found = _LINE.match(line)
    if found is None or (at := time_of(found[1])) is None:
        return None
    return Entry(found[3], _PAST[found[2]], at, found[4], found[5])
