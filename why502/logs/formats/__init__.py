"""The log formats, discovered by directory.

Those of products are in `gateways/*/logs`, `backends/*/logs` and `supervisors/*/logs`, the others here. A module that defines
`fits` is a format; the others support one.
"""

from __future__ import annotations

import pkgutil
from functools import cache, lru_cache
from importlib import import_module
from typing import Protocol, cast

from why502 import registry
from why502.model.logs import LogRecord


class Format(Protocol):
    """The interface of each format's module."""

    NAME: str
    MARKS: tuple[bytes, ...]  # byte strings; every relevant line contains at least one

    def fits(self, sample: list[str]) -> float:
        """Return the share (0…1) of the sample's lines that are certainly in this format."""
        ...

    def parse(self, line: str) -> LogRecord | None:
        """Return the record of one line; None if it is not in this format."""
        ...


_PACKAGES = ("why502.gateways", "why502.backends", "why502.supervisors")


@lru_cache(1)
def formats() -> tuple[Format, ...]:
    """Return all formats, sorted by name."""
    modules = [import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    for package in _PACKAGES:
        modules += registry.parts(package, "logs")
    found = [cast(Format, module) for module in modules if hasattr(module, "fits")]
    return tuple(sorted(found, key=lambda form: form.NAME))


@lru_cache(1)
def of_applications() -> frozenset[str]:
    """Return the names of the formats of applications, and of what runs them."""
    found = (*registry.parts("why502.backends", "logs"), *registry.parts("why502.supervisors", "logs"))
    return frozenset(module.NAME for module in found if hasattr(module, "fits")) | {"application"}


@cache
def named(name: str) -> Format | None:
    """Return the format of that name, without loading those of other products if its name begins with its product's."""
    own = (
        module
        for package in _PACKAGES
        for product in registry.products(package)
        if f"{name}_".startswith(f"{product}_")
        for module in registry.modules(package, product, "logs")
    )
    is_it = (module for module in own if hasattr(module, "fits") and name == cast(Format, module).NAME)
    return cast(Format | None, next(is_it, None)) or next((each for each in formats() if name == each.NAME), None)
