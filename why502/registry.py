"""Finds the parts of products by their directories: `gateways/haproxy/codes.py`, `backends/puma/logs.py`,
`supervisors/pm2/manager.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType


@cache
def products(package: str) -> tuple[str, ...]:
    """Return the names of the products below a package such as `why502.gateways`, in order."""
    return tuple(found.name for found in iter_modules(import_module(package).__path__) if found.ispkg)


def part(package: str, product: str, name: str) -> ModuleType | None:
    """Return the module of that name of one product; None if the product has none."""
    full = f"{package}.{product}.{name}"
    return import_module(full) if product in products(package) and _exists(package, product, name) else None


def _exists(package: str, product: str, name: str) -> bool:
    """Return whether a product has a part. Its file is looked for first: `find_spec` would import the product."""
    full = f"{package}.{product}.{name}"
    if full in sys.modules:
        return True
    directories = [Path(path, product) for path in import_module(package).__path__]
    try:
        if any(directory.is_dir() for directory in directories):
            return any((one / f"{name}.py").exists() or (one / name / "__init__.py").exists() for one in directories)
    except OSError:  # another user's rights
        pass
    return find_spec(full) is not None  # an archive


def parts(package: str, name: str) -> Iterator[ModuleType]:
    """Yield the modules of that name of all products of a package; where one is a package itself, also the modules in it."""
    for product in products(package):
        yield from modules(package, product, name)


def modules(package: str, product: str, name: str) -> Iterator[ModuleType]:
    """Yield the module of that name of one product; where it is a package itself, also the modules in it."""
    module = part(package, product, name)
    if module is not None:
        yield module
        for found in iter_modules(getattr(module, "__path__", ())):
            yield import_module(f"{module.__name__}.{found.name}")
