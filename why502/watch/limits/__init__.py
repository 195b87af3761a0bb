"""Limits that can run out: one module for each kind, found by this directory.

A module has `EVERY_S`, the seconds between two samples, and `sample(host, known, at)`, which yields a `Limit` for each subject,
and a `Gap` for what it could not read: an unknown value is never a zero. `known` is the last snapshot: which processes, sockets
and directories the proxies and their backends use.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType


@cache
def samplers() -> dict[str, ModuleType]:
    """Return the modules that sample limits, by name."""
    modules = (importlib.import_module(f"{__name__}.{entry.name}") for entry in pkgutil.iter_modules(__path__))
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "sample")}
