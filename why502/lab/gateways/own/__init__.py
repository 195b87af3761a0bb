"""Scenes that only one product has: each of its modules is named after its front, and has `SCENES`."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.util import find_spec

from why502.lab.gateways.scenes import SCENES, Scene


@cache
def scenes_of(product: str) -> dict[str, Scene]:
    """Return the scenes of a front by name: those that every product may have, and its own."""
    name = f"{__name__}.{product}"
    own: tuple[Scene, ...] = importlib.import_module(name).SCENES if find_spec(name) else ()
    return SCENES | {scene.name: scene for scene in own}
