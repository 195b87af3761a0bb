"""The machine's local time zone, in which most proxies write their logs without naming it."""

from __future__ import annotations

import contextlib
import io
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from why502.logs.files import Files
from why502.model.errors import HostError, Missing
from why502.model.patterns import lazy
from why502.model.times import of_epoch

_TZ = lazy(rb"(?:^|\0)TZ=:?([A-Za-z][A-Za-z0-9_+/-]{0,63})(?=\0|$)")
_DIRECTORY = "/usr/share/zoneinfo"


def zone(machine: Files, files: Files, pid: int | None = None) -> tzinfo | None:
    """Return the zone in which a process, or else the machine, writes its times; None if that cannot be read.

    TZ of the process comes first, then /etc/localtime, then UTC: tzset(3), localtime(5). `files` is the root as the process sees
    it.
    """
    if pid is not None:
        with contextlib.suppress(HostError):
            match = _TZ.search(machine.read(f"/proc/{pid}/environ", limit_bytes=1 << 18))
            if match and (found := _read(files, f"{_DIRECTORY}/{match[1].decode('ascii')}")) is not None:
                return found
    try:
        return _read(files, "/etc/localtime") or UTC
    except Missing:
        return UTC
    except HostError:
        return None


def aware(at: datetime, local: tzinfo, since: float, until: float, near: float = 0.0) -> datetime:
    """Return a time in UTC. In the hour that the end of summer time repeats, the reading inside the window is chosen.

    `near`: when the line arrived, in seconds since the epoch, if that is known: then the reading nearest to it is chosen.
    """
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    first = at.replace(tzinfo=local).astimezone(UTC)
    second = at.replace(tzinfo=local, fold=1).astimezone(UTC)
    if first != second and near:
        return min(first, second, key=lambda one: abs(one.timestamp() - near))
    if first != second and not since <= first.timestamp() <= until and since <= second.timestamp() <= until:
        return second
    return first


def _read(files: Files, path: str) -> tzinfo | None:
    """Return the zone of a tzfile(5); None if the file is not one. Raises HostError."""
    try:
        return ZoneInfo.from_file(io.BytesIO(files.read(path, limit_bytes=1 << 18)))
    except (ValueError, EOFError, IndexError):
        return None


def moment(at: float) -> datetime | None:
    """Return seconds since the epoch as a time; None for the infinities, which mean "never"."""
    return of_epoch(at)


class _Shifted(tzinfo):
    """A zone whose clocks show the times of another one `shift` later."""

    def __init__(self, zone: tzinfo, shift: timedelta) -> None:
        self._zone, self._shift = zone, shift

    def utcoffset(self, at: datetime | None) -> timedelta | None:
        offset = None if at is None else at.replace(tzinfo=self._zone).utcoffset()
        return None if offset is None else offset - self._shift

    def dst(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None) -> str | None:
        return None


def shifted(zone: tzinfo, shift_s: int) -> tzinfo:
    """Return a zone in which what its clocks show is so much later in UTC than in this one."""
    return _Shifted(zone, timedelta(seconds=shift_s))
