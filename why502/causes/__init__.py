"""One file for each cause, in a folder for each layer. CAUSES holds them all by id."""

from __future__ import annotations

import importlib
import pkgutil

from why502.cause import Cause


def _find() -> dict[str, Cause]:
    """Return every CAUSE of the modules below this folder, by id."""
    found = {}
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        cause = getattr(importlib.import_module(module.name), "CAUSE", None)
        if cause is not None:
            found[cause.id] = cause
    return dict(sorted(found.items()))


CAUSES: dict[str, Cause] = _find()
