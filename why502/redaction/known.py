"""Known secrets: a secret found in one place is removed everywhere else, such as a unit file's password in a log line."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import quote, unquote

from why502.model.patterns import lazy

MOST = 512  # maximum number of known values
SHORTEST = 8  # a shorter value could be part of an ordinary word
LONGEST = 512
LOOKED_AT = 4 << 20  # maximum characters of configuration searched for values
_WORD = lazy(r"\.?[a-z]{1,40}(?:[-_.][a-z]{1,40}){0,3}\d{0,2}|[\d.:/-]{1,40}|[A-Z_]{1,40}|\[removed\]|x{1,512}", re.ASCII)
_PART = lazy(r"[^\s\"'`;,&|<>(){}\[\]]{8,512}")

_known: ContextVar[tuple[str, ...]] = ContextVar("known", default=())


def known() -> tuple[str, ...]:
    """Return the values that are masked wherever they occur, the longest first."""
    return _known.get()


def know(values: Iterable[str]) -> None:
    """Mask these values from now on, instead of all earlier ones."""
    _known.set(_spelled(values))


@contextmanager
def knowing(values: Iterable[str]) -> Iterator[None]:
    """Mask these values, too, while the block runs."""
    token = _known.set(tuple(sorted({*_known.get(), *_spelled(values)}, key=len, reverse=True)))
    try:
        yield
    finally:
        _known.reset(token)


def values_of(masked: Iterable[str]) -> Iterator[str]:
    """Yield the values worth searching for elsewhere, from masked texts: the texts themselves, or their words."""
    for text in masked:
        for part in _PART.findall(text):
            value = part.strip("\\").rpartition("=")[2] if "=" in part.rstrip("=") else part.strip("\\")
            for one in (value, value.partition(":")[2], *_decoded(value)):
                if (
                    SHORTEST <= len(one) <= LONGEST
                    and "$" not in one
                    and not _WORD.fullmatch(one)
                    and "://" not in one
                    and not one.startswith("/")
                ):
                    yield one


def _decoded(value: str) -> Iterator[str]:
    """Yield the password of `Basic dXNlcjpwYXNz`, and the decoded form of URL escapes such as %40."""
    if "%" in value:
        yield unquote(value)
    if re.fullmatch(r"[A-Za-z0-9+/]{8,512}={0,2}", value) and len(value) % 4 == 0:
        try:
            user, found, password = base64.b64decode(value, validate=True).decode("ascii").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return
        if found and user.isprintable() and password.isprintable():
            yield password


def _spelled(values: Iterable[str]) -> tuple[str, ...]:
    """Return the values in each spelling that an output may use, the longest first."""
    found: dict[str, None] = {}
    for value in values:
        if len(found) >= 3 * MOST:
            break
        found |= dict.fromkeys(
            (value, quote(value, safe=""), quote(value), base64.b64encode(value.encode("utf-8", "replace")).decode())
        )
    return tuple(sorted(found, key=len, reverse=True))


def occurrences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of known values in a text."""
    for value in _known.get():
        place = text.find(value)
        while place >= 0:
            yield place, place + len(value)
            place = text.find(value, place + len(value))
