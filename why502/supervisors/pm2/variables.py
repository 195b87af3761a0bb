"""The variables of an application that pm2 runs in cluster mode.

The daemon itself listens and hands connections to its workers. It passes their variables as one JSON text, from which a worker
fills its environment after its start, so the kernel never shows them one by one (pm2: lib/God/ClusterMode.js,
lib/ProcessContainer.js).
"""

from __future__ import annotations

from why502.model import foreign_json

_PASSED = "pm2_env"


def is_daemon(name: str) -> bool:
    """Return whether a process name, as the kernel cuts it, is that of pm2's daemon."""
    return name.startswith("PM2")


def worker_variables(given: dict[str, str]) -> dict[str, str]:
    """Return a process's variables with those that pm2 passes to it as JSON; unchanged for any other process."""
    try:
        passed = foreign_json.decode(given.get(_PASSED, "{}"))
    except ValueError:
        return given
    return given | {key: value for key, value in passed.items() if isinstance(value, str)} if isinstance(passed, dict) else given
