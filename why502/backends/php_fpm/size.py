"""The number of children that a PHP-FPM pool may have, calculated from the memory of one child."""

from __future__ import annotations

from why502.model.base import Value
from why502.model.service import PhpPool

RESERVE = 0.2  # share of available memory left for everything else and for children that grow
SPARE = 1.25  # children needed per request in progress or waiting


class Size(Value, frozen=True, kw_only=True):
    """The settings of a pool that must change together, and the reason. `grows` is False if memory allows no more children."""

    max_children: int
    settings: dict[str, str]
    message: str
    grows: bool


def size(pool: PhpPool, memory_available_bytes: int) -> Size | None:
    """Return the size the pool should have; None if the memory of a child, or the present size, is unknown.

    `memory_available_bytes` is the free memory (MemAvailable, or the space below the limit of its cgroup) while the present
    children run. A pool grows at most to twice its size in one step, or to the number of current requests.
    """
    child = pool.child_pss_bytes or pool.child_rss_bytes
    if not child or not pool.max_children or pool.children is None:
        return None
    now = pool.max_children
    fits = max(1, pool.children + int(memory_available_bytes * (1 - RESERVE)) // child)
    needed = int(((pool.children_busy or 0) + (pool.queued or 0)) * SPARE + 0.999)
    count = min(fits, max(2 * now, needed))
    room = f"a child takes {_mib(child)}, {_mib(memory_available_bytes)} are available of which {RESERVE:.0%} stay free"
    if count > now:
        message = f"pm.max_children {now} -> {count}: {room}, so {fits} children fit"
    elif fits < now:
        message = f"pm.max_children {now} is more than memory allows: {room}, so only {fits} children fit"
    else:
        message = f"pm.max_children {now} is all that memory allows: {room}; add memory, or make the requests shorter"
    return Size(max_children=count, settings=pm_settings(pool.pm, count), message=message, grows=count > now)


def pm_settings(pm: str, max_children: int) -> dict[str, str]:
    """Return the pm.* values for `max_children`: FPM refuses to start if they contradict each other.

    For pm = dynamic it requires 1 <= min_spare <= start <= max_spare <= max_children (fpm_conf_process_all_pools).
    """
    settings = {"pm.max_children": str(max_children)}
    if pm == "dynamic":
        least = max(1, max_children // 4)
        most = max(least, max_children // 2)
        settings |= {
            "pm.start_servers": str(least + (most - least) // 2),
            "pm.min_spare_servers": str(least),
            "pm.max_spare_servers": str(most),
        }
    return settings


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.0f} MiB"
