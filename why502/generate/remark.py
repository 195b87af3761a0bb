"""Lines with the reason for each: what the templates of flat formats lay out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from why502.generate.safe import NOTHING, Safe, comment

_SPACED = 2  # levels of blocks with an empty line between them


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, and why it is there; "" where it says so itself."""

    text: Safe
    reason: Safe = NOTHING
    indent: Safe = NOTHING


def row(text: str, reason: str = "") -> Row:
    """Return a line. The text is the emitter's own, with user values already quoted for its format."""
    return Row(Safe(text), comment(reason))


@dataclass(frozen=True, slots=True)
class Section:
    """A section with its lines, and why it is there; without a title, lines at the top."""

    title: Safe
    rows: tuple[Row, ...]
    reason: Safe = NOTHING


@dataclass(frozen=True, slots=True)
class Branch:
    """A block: its first line, what is in it, and its last line; "" where the format has none."""

    head: Row
    items: tuple[Row | Branch, ...]
    end: Safe = NOTHING


def block(head: str, items: Iterable[Row | Branch], end: str = "", reason: str = "") -> Branch:
    """Return a block."""
    return Branch(row(head, reason), tuple(items), Safe(end))


def flat(items: Iterable[Row | Branch], unit: str, depth: int = 0) -> Iterator[Row]:
    """Yield the lines of blocks, indented, with an empty line before each outer one. `unit`: the indentation of one level."""
    indent = Safe(unit * depth)
    for number, item in enumerate(items):
        if isinstance(item, Row):
            yield replace(item, indent=indent)
            continue
        if number and depth < _SPACED:
            yield row("")
        yield replace(item.head, indent=indent)
        yield from flat(item.items, unit, depth + 1)
        if item.end:
            yield replace(row(item.end), indent=indent)
