"""The end of a log file that may lie anywhere and have any form."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from why502.host.base import Host
from why502.model.errors import HostError

BYTES = 1 << 20
UNTIMED_LINES = 60  # of a log without times, that may be from now


@dataclass(frozen=True)
class Tail:
    """The last lines of a file, and when it was last written to."""

    lines: tuple[str, ...]
    written_at: datetime | None

    def newest(self, since: datetime) -> tuple[str, ...]:
        """Return the last lines, where the file was written to since 2 minutes before that time."""
        fresh = self.written_at is not None and self.written_at >= since - timedelta(minutes=2)
        return self.lines[-UNTIMED_LINES:] if fresh else ()


NOTHING = Tail((), None)


def tail(host: Host, path: str, size_bytes: int = BYTES) -> Tail:
    """Return the whole lines in the last `size_bytes` of a regular file. Raises HostError."""
    stat = host.stat(path)
    if stat.kind != "file":
        raise HostError(f"{path}: not a regular file")
    try:
        with host.open(path) as stream:
            start = max(0, stat.size_bytes - size_bytes)
            stream.seek(start)
            data = stream.read(size_bytes)
    except (OSError, ValueError) as error:
        raise HostError(f"{path}: {error}") from error
    if start:
        data = data.partition(b"\n")[2]
    lines = data.decode("utf-8", "replace").splitlines()
    return Tail(tuple(lines), datetime.fromtimestamp(stat.modified_s, UTC))
