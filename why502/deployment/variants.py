"""alternatives(): files of which a deployment takes one, such as dev.conf and production.conf."""

from __future__ import annotations

import posixpath
import re

from why502.model.config import Position
from why502.model.patterns import lazy

_VARIANT = lazy(
    r"\b(?:dev(?:elopment)?|prod(?:uction)?|stag(?:e|ing)|test(?:ing)?|local(?:host)?|example|sample|https?|ssl|tls|nossl|only|no|init(?:ial)?"
    r"|bootstrap|maintenance|docker|simple|full|new|old|v\d)\b"
)


def alternatives(one: Position | None, other: Position | None) -> bool:
    """Return whether two files of one directory have the same name but for words of which only one is meant at a time."""
    if one is None or other is None or one.file == other.file or posixpath.dirname(one.file) != posixpath.dirname(other.file):
        return False
    first, second = (_VARIANT.sub("", re.sub(r"[_.-]", " ", posixpath.basename(at.file))).split() for at in (one, other))
    return first == second
