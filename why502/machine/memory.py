"""The memory of processes that do the same work: PHP-FPM's children, a gateway's workers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.process_table import parse_status

MEASURED = 8  # processes of a kind whose memory is read


def parse_memory(smaps_rollup: bytes) -> tuple[int | None, int | None]:
    """Return Rss and Pss of /proc/PID/smaps_rollup in bytes (proc_pid_smaps(5))."""
    fields = parse_status(smaps_rollup.decode("ascii", "replace"))
    sizes = [fields.get(name, "").split()[:1] for name in ("Rss", "Pss")]
    rss, pss = (int(size[0]) * 1024 if size and size[0].isdigit() else None for size in sizes)
    return rss, pss


def of_process(host: Host, pid: int) -> tuple[int | None, int | None]:
    """Return the Rss and the Pss of a process in bytes; None for what cannot be read."""
    rollup = attempt(partial(host.read, f"/proc/{pid}/smaps_rollup"))
    if rollup:
        return parse_memory(rollup)
    fields = parse_status((attempt(partial(host.read, f"/proc/{pid}/status")) or b"").decode("utf-8", "replace"))
    rss = fields.get("VmRSS", "").split()[:1]
    return (int(rss[0]) * 1024 if rss and rss[0].isdigit() else None), None


def of_each(host: Host, pids: Iterable[int]) -> tuple[int | None, int | None]:
    """Return the mean Rss and Pss of the first few of these processes in bytes; None for what cannot be read."""
    sizes = [of_process(host, pid) for _, pid in zip(range(MEASURED), pids, strict=False)]
    return _mean([rss for rss, _ in sizes]), _mean([pss for _, pss in sizes])


def _mean(sizes: list[int | None]) -> int | None:
    seen = [size for size in sizes if size is not None]
    return sum(seen) // len(seen) if seen else None
