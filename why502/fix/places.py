"""The location of the journal and of the locks. This module imports little, since every command checks for unfinished changes."""

from __future__ import annotations

import os
from pathlib import Path


def journal() -> Path:
    """Return the default directory of the journal: /var/lib/why502 for root, else XDG's state directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/why502")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "why502"


def locks() -> Path:
    """Return the directory of the locks: /run/why502 for root, otherwise one below the user's own runtime or state directory."""
    if os.geteuid() == 0:
        return Path("/run/why502")
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own, "why502") if own else journal() / "locks"


def may_hold_changes(state: str | None) -> bool:
    """Return whether any change was ever recorded there, as far as this user can see. A cheap check before the journal is
    read.
    """
    try:
        return any(
            any(where.glob(pattern)) for where, pattern in ((Path(state) if state else journal(), "*.json"), (locks(), "*.lock"))
        )
    except (OSError, RuntimeError):
        return False
