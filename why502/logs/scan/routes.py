"""The route of a request: its method and path, without the query and with `*` in place of ids and numbers."""

from __future__ import annotations

from functools import lru_cache

from why502.model.patterns import lazy

MOST_SEGMENTS = 8
NONE, ODD = "(no request)", "(no HTTP request)"
_LINE = lazy(rb"([A-Z]{1,16}) (?:[Hh][Tt][Tt][Pp][Ss]?://[^ /?#]*)?(/[^ ?#;]*)")
_ONLY_DIGITS = lazy(rb"\d+")
_ONLY_HEX = lazy(rb"[0-9A-Fa-f-]{8,}")
_DIGIT = lazy(rb"\d")


@lru_cache(1 << 14)
def route(request: str) -> str:
    """Return `METHOD /path`. A segment becomes `*` if it is a number, a long hexadecimal string, or long and contains a digit.

    After eight segments the rest is `/...`. Text that is not a request line (bytes of another protocol) gives ODD, an empty one
    NONE.
    """
    if not request:
        return NONE
    match = _LINE.match(request.encode("utf-8", "surrogateescape"))
    if match is None:
        return ODD
    found = match[1] + b" "
    limit = len(found) + 160
    for number, segment in enumerate(match[2].split(b"/")[1:]):
        if number == MOST_SEGMENTS or len(found) > limit:
            return (found + b"/...").decode("utf-8", "surrogateescape")
        found += b"/" + (b"*" if _is_number(segment) else segment)
    return found.decode("utf-8", "surrogateescape")


def _is_number(segment: bytes) -> bool:
    if len(segment) > 64 or _ONLY_DIGITS.fullmatch(segment):
        return True
    if not _DIGIT.search(segment):
        return False
    return len(segment) >= 16 or bool(_ONLY_HEX.fullmatch(segment))
