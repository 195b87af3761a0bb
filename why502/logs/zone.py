"""Local time of a machine, which the logs of most proxies are written in without saying so."""

from __future__ import annotations

import contextlib
import io
import posixpath
import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from why502.logs.files import Files
from why502.model.errors import HostError, Missing

_TZ = re.compile(rb"(?:^|\0)TZ=:?([A-Za-z][A-Za-z0-9_+/-]{0,63})(?=\0|$)")
_FOLDER = "/usr/share/zoneinfo"


def zone(files: Files, root: str = "", pid: int | None = None) -> tzinfo | None:
    """Return the zone that a process, or else the machine below `root`, writes its times in; None where that is not to be seen.

    TZ of the process decides, then /etc/localtime, then UTC: tzset(3), localtime(5).
    """
    if pid is not None:
        with contextlib.suppress(HostError):
            match = _TZ.search(files.read(f"/proc/{pid}/environ", limit_bytes=1 << 18))
            if match and (found := _read(files, f"{root}{_FOLDER}/{match[1].decode('ascii')}")) is not None:
                return found
    try:
        return _read(files, _target(files, root)) or UTC
    except Missing:
        return UTC
    except HostError:
        return None


def aware(at: datetime, local: tzinfo, since: float, until: float) -> datetime:
    """Return a time in UTC; of the two meanings in the hour that the end of summer time repeats, the one in the window."""
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    first = at.replace(tzinfo=local).astimezone(UTC)
    second = at.replace(tzinfo=local, fold=1).astimezone(UTC)
    if first != second and not since <= first.timestamp() <= until and since <= second.timestamp() <= until:
        return second
    return first


def _target(files: Files, root: str) -> str:
    """Return where /etc/localtime leads to below another root: its links are absolute and would lead out of it."""
    path = "/etc/localtime"
    if not root:
        return path
    with contextlib.suppress(HostError):
        for _ in range(4):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), files.link(root + path)))
    return root + path


def _read(files: Files, path: str) -> tzinfo | None:
    """Return the zone of a tzfile(5); None where it is none. Raises HostError."""
    try:
        return ZoneInfo.from_file(io.BytesIO(files.read(path, limit_bytes=1 << 18)))
    except (ValueError, EOFError, IndexError):
        return None
