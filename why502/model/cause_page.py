"""The text that documents a cause: sections of items, "## Fix" and "- …"."""

from __future__ import annotations


def items(page: str, title: str) -> tuple[str, ...]:
    """Return the items of one section ("Fix", "Confirm"), each on one line; () if the page has none."""
    _, _, rest = page.partition(f"## {title}\n")
    found = rest.partition("\n## ")[0].strip().removeprefix("- ").split("\n- ")
    return tuple(" ".join(item.split()) for item in found if item)
