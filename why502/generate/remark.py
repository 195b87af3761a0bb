"""Lines with the reason for each: what the templates of flat formats lay out."""

from __future__ import annotations

from dataclasses import dataclass

from why502.generate.safe import NOTHING, Safe, comment


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file, and why it is there; "" where it says so itself."""

    text: Safe
    reason: Safe = NOTHING


def row(text: str, reason: str = "") -> Row:
    """Return a line. The text is the emitter's own, with user values already quoted for its format."""
    return Row(Safe(text), comment(reason))


@dataclass(frozen=True, slots=True)
class Section:
    """A section with its lines; without a title, lines at the top."""

    title: Safe
    rows: tuple[Row, ...]
