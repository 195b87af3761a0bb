"""The limit on httpd's workers, raised as far as memory allows.

Sources: the documentation of mpm_common (MaxRequestWorkers, ServerLimit, ThreadsPerChild) and of prefork, worker and event.
httpd reads ServerLimit only when it starts; a graceful restart ignores a new value (AH00514, AH03267).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from why502.gateways.apache.config.load import MODULE
from why502.gateways.worker_limits import Raised
from why502.model.config import Setting
from why502.model.proxy import Proxy
from why502.model.times import whole_number

RESERVE = 0.2  # share of the available memory that stays free
SPARE = 1.25  # workers for each request that is handled or waits
_PREFORK = "prefork"
_SERVERS = {_PREFORK: 256, "worker": 16, "event": 16}  # the default of ServerLimit
_THREADS = 25  # the default of ThreadsPerChild


def raised(proxy: Proxy, worker_bytes: int, memory_available_bytes: int, waiting: int) -> Iterator[Raised]:
    """Yield a higher limit that a graceful restart loads, then one that needs a restart; one without settings if memory is the
    limit; nothing if something is unknown that decides it.
    """
    settings = next((route.settings for route in proxy.routes if "MaxRequestWorkers" in route.settings), None)
    module = settings[MODULE][0].args[0] if settings and MODULE in settings else ""
    if settings is None or module not in _SERVERS:
        return
    threads = 1 if module == _PREFORK else _number(settings, "ThreadsPerChild") or _THREADS
    servers = _number(settings, "ServerLimit") or _SERVERS[module]
    written = settings["MaxRequestWorkers"][0]
    now = min(_number(settings, "MaxRequestWorkers") or 1, servers * threads)
    fits = (len(proxy.workers) + int(memory_available_bytes * (1 - RESERVE)) // worker_bytes) * threads
    wanted = min(fits, max(2 * now, int((now + waiting) * SPARE)))
    wanted -= wanted % threads if wanted > threads else 0
    unit = "worker" if threads == 1 else f"process of {threads} threads"
    room = f"a {unit} takes {_mib(worker_bytes)}, {_mib(memory_available_bytes)} are available of which {RESERVE:.0%} stay free"
    if wanted <= now:
        message = f"MaxRequestWorkers {now} is all that memory allows: {room}; add memory, or make the backends faster"
        yield Raised(message=message)
        return
    graceful = min(wanted, servers * threads)
    if graceful > now:
        yield Raised(
            message=f"MaxRequestWorkers {now} -> {graceful}: {room}, so {fits} fit",
            settings=((written, str(graceful)),),
        )
    if wanted > graceful:
        more = -(-wanted // threads)
        limit = settings.get("ServerLimit")
        first = (written, str(wanted) if limit else f"{wanted}\nServerLimit {more}")
        yield Raised(
            message=f"MaxRequestWorkers {now} -> {wanted} and ServerLimit {servers} -> {more}: {room}, so {fits} fit",
            settings=(first, *([(limit[0], str(more))] if limit else [])),
            needs_restart=True,
        )


def _number(settings: Mapping[str, tuple[Setting, ...]], name: str) -> int | None:
    found = settings.get(name)
    return whole_number(found[0].args[0], 8) if found else None


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.0f} MiB"
