"""Joins JSON objects spread over several lines (as jq, a browser or a person writes them) into one line each."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MOST_BYTES = 16 << 20
_BEGIN = lazy(rb"^\{[ \t]*\r?$", re.MULTILINE)
_OBJECT = lazy(
    rb"^\{[ \t]*\r?\n(?:[ \t]+[^\n]*+\n|\r?\n)*+(?:\}[ \t]*,?\r?$|\Z)", re.MULTILINE
)  # each line belongs to only one object


def is_spread(sample: bytes) -> bool:
    """Return whether an object starts on a line of its own."""
    return _BEGIN.search(sample) is not None


def joined(content: bytes) -> bytes:
    """Return the content with each object on the line where it starts. Empty lines follow it, so line numbers stay the same."""
    return _OBJECT.sub(_line, content)


def _line(match: re.Match[bytes]) -> bytes:
    text = match[0]
    return b" ".join(part.strip() for part in text.rstrip(b", \t\r").split(b"\n")) + b"\n" * text.count(b"\n")
