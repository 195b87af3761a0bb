"""How many requests one worker of gunicorn with threads serves at once. It accepts further connections, which then wait.

Source: gunicorn/workers/gthread.py (it accepts up to worker_connections, 1000), settings `threads` and `worker_class`.
"""

from __future__ import annotations

from why502.backends.options import number, option, runs

_THREADED = frozenset({"", "sync", "gthread"})  # sync becomes gthread if there is more than one thread


def slots(argv: tuple[str, ...]) -> int | None:
    """Return the number of threads of a worker; None if the command does not say it, or if it runs no threads."""
    if not runs(argv, ("gunicorn",)) or option(argv, "-k", "--worker-class") not in _THREADED:
        return None
    return number(option(argv, "--threads"))
