"""The entries of the menu."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True, kw_only=True)
class Navigation:
    """An entry of the menu. `order`: smaller ones come first. `is_tool`: it works without a store."""

    title: str
    path: str
    order: int
    is_tool: bool = False
    about: str = ""  # what the page is for, in one sentence
