"""What package managers installed, upgraded and removed: each module reads the log of one of them.

A module has `LOGS`, the paths of its logs; `parse(line)`, which returns the Entry of a line or None; and `paths(host, entry)`,
which returns the files of the installed package, or raises HostError.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def managers() -> tuple[ModuleType, ...]:
    """Return the modules of all package managers, by name."""
    names = sorted(name for _, name, _ in pkgutil.iter_modules(__path__) if name != "entry")
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)
