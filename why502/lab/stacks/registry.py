"""Every stack, found by its file in this package: a module with STACKS, a tuple of them."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from why502.lab.stacks import machines
from why502.lab.stacks.stack import Stack


@cache
def stacks() -> dict[str, Stack]:
    """Return the stacks by name, in order of their files."""
    found: dict[str, Stack] = {}
    for module in pkgutil.iter_modules(machines.__path__):
        for stack in importlib.import_module(f"{machines.__name__}.{module.name}").STACKS:
            if stack.name in found:
                raise ValueError(f"two stacks are called {stack.name}")
            found[stack.name] = stack
    return found
