"""How many requests one worker of Puma serves at once. Its reactor accepts further connections, whose requests wait.

Source: lib/puma/cli.rb (-t, --threads MIN:MAX), docs/architecture.md (queue_requests).
"""

from __future__ import annotations

from why502.backends.options import number, option, runs


def slots(argv: tuple[str, ...]) -> int | None:
    """Return the most threads of a worker; None if the command does not say it."""
    return number(option(argv, "-t", "--threads").rpartition(":")[2]) if runs(argv, ("puma",)) else None
