"""The time zone in which a gateway writes times without one."""

from __future__ import annotations

import io
from pathlib import Path
from zoneinfo import ZoneInfo

from why502.model.patterns import lazy

_TZ = lazy(rb"(?:^|\0)TZ=:?([A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,31}){0,2})(?=\0|$)")
_DIRECTORY = "/usr/share/zoneinfo"
_MOST_BYTES = 1 << 18


def localtime(pid: int | None, root: str = "") -> bytes:
    """Return the tzfile(5) of a process with that root directory, else of the machine; b"" for UTC. See `why502.logs.zone`."""
    environment = b"" if pid is None else _read(f"/proc/{pid}/environ")
    match = _TZ.search(environment)
    names = ([f"{root}{_DIRECTORY}/{match[1].decode('ascii')}"] if match else []) + [f"{root}/etc/localtime"]
    return next((data for name in names if _is_zone(data := _read(name))), b"")


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            return stream.read(_MOST_BYTES)
    except OSError:
        return b""


def _is_zone(data: bytes) -> bool:
    try:
        ZoneInfo.from_file(io.BytesIO(data))
    except (ValueError, EOFError, IndexError):
        return False
    return True
