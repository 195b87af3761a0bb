"""One file for each cause, in a folder for each layer. CAUSES holds them all by id, PAGES their documentation (the module's docstring)."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from why502.cause import Cause


def _find() -> dict[str, ModuleType]:
    """Return every module below this folder that has a CAUSE, by the cause's id."""
    modules = [importlib.import_module(module.name) for module in pkgutil.walk_packages(__path__, f"{__name__}.")]
    return {module.CAUSE.id: module for module in sorted(modules, key=lambda module: module.__name__) if hasattr(module, "CAUSE")}


_MODULES = _find()
CAUSES: dict[str, Cause] = {name: module.CAUSE for name, module in sorted(_MODULES.items())}
PAGES: dict[str, str] = {name: module.__doc__ or "" for name, module in sorted(_MODULES.items())}


def section(cause: str, title: str) -> tuple[str, ...]:
    """Return the items of a section of a cause's page ("Fix", "Confirm"), each on one line; () where it has none."""
    _, _, rest = PAGES.get(cause, "").partition(f"## {title}\n")
    items = rest.partition("\n## ")[0].strip().removeprefix("- ").split("\n- ")
    return tuple(" ".join(item.split()) for item in items if item)
