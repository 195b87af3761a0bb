"""The faults of the lab: every module defines FAULTS, a tuple of variants of one cause."""

from __future__ import annotations

import importlib
import pkgutil

from why502.lab.fault import Fault


def faults() -> dict[str, Fault]:
    """Return all faults by name, sorted. Two of the same name are a mistake (AssertionError)."""
    found: dict[str, Fault] = {}
    for module in sorted(name for _, name, _ in pkgutil.iter_modules(__path__)):
        for fault in importlib.import_module(f"{__name__}.{module}").FAULTS:
            assert fault.name not in found, fault.name
            found[fault.name] = fault
    return dict(sorted(found.items()))
