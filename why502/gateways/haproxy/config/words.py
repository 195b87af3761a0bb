"""The words of a line of haproxy.cfg: quotes, escapes and variables.

Source: doc/configuration.txt, 2.2 (quoting and escaping) and 2.3 (environment variables); src/tools.c, parse_line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from why502.config.tree import decode
from why502.model.patterns import lazy

LONGEST = 16 << 10  # bytes of a word that are looked at
_PIECE = lazy(
    r"""(?P<strong>'[^'\n]*+'?)
    |(?P<weak>"(?:[^"\\\n]++|\\[^\n])*+\\?"?)
    |(?P<escape>\\(?:x[0-9A-Fa-f]{2}|[^\n])?)
    |(?P<plain>[^\s'"\\\#]++)""",
    re.VERBOSE | re.ASCII,
)
_INSIDE = lazy(
    r"(?P<escape>\\(?:x[0-9A-Fa-f]{2}|.))|\$\{(?P<name>\w{1,200})(?P<all>\[\*\])?(?:-(?P<default>[^}$]*+))?\}|\$(?P<bare>\w{1,200})",
    re.ASCII,
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", " ": " ", '"': '"', "'": "'", "#": "#", "$": "$"}


def ends(text: str, start: int) -> int:
    """Return the offset after the word that begins at an offset; the same offset if none begins there."""
    at = start
    while match := _PIECE.match(text, at):
        at = match.end()
    return at


def value(raw: str) -> str:
    """Return a word without its quotes and escapes; variables stay as written."""
    return decode("".join(_plain(kind, piece) for kind, piece in _pieces(raw)))


def expanded(raw: str, variables: Mapping[str, str], *, is_complete: bool) -> tuple[str, ...]:
    """Return the words that one becomes with these variables: several for `"${NAME[*]}"`, none for an empty one of those.

    A variable that is not among them is empty if they are all that are set, else it stays as written; so do those that HAProxy
    sets itself. Only words in double quotes have variables.
    """
    if "$" not in raw or '"' not in raw:
        return (value(raw),)
    many: tuple[str, ...] | None = None

    def put(match: re.Match[str]) -> str:
        nonlocal many
        if match["escape"]:
            return _unescaped(match["escape"])
        name = match["name"] or match["bare"]
        found = variables.get(name)
        if found is None and match["default"] is not None:
            return match["default"]
        if found is None and (not is_complete or name.startswith("HAPROXY_")):
            return match[0]
        found = found or ""
        if match["all"]:
            many = tuple(found.split())
        return found

    text = "".join(_INSIDE.sub(put, _inner(piece)) if kind == "weak" else _plain(kind, piece) for kind, piece in _pieces(raw))
    if many is not None and raw.startswith('"${') and raw.endswith('[*]}"'):
        return tuple(decode(word) for word in many)
    return (decode(text),)


def variables_in(raw: str) -> Iterator[str]:
    """Yield the names of the variables in a word."""
    for kind, piece in _pieces(raw):
        if kind == "weak":
            yield from (match["name"] or match["bare"] for match in _INSIDE.finditer(_inner(piece)) if not match["escape"])


def _pieces(raw: str) -> Iterator[tuple[str, str]]:
    for match in _PIECE.finditer(raw[:LONGEST]):
        yield match.lastgroup or "", match[0]


def _plain(kind: str, piece: str) -> str:
    if kind == "strong":
        return piece[1:].removesuffix("'")
    if kind == "weak":
        return re.sub(r"\\(?:x[0-9A-Fa-f]{2}|.)", lambda match: _unescaped(match[0]), _inner(piece))
    return _unescaped(piece) if kind == "escape" else piece


def _inner(piece: str) -> str:
    closed = len(piece) > 1 and piece.endswith('"')
    return piece[1:-1] if closed else piece[1:]


def _unescaped(text: str) -> str:
    """Return the character that an escape stands for; an unknown escape stays as written."""
    if text[1:2] == "x" and len(text) == 4:
        return chr(int(text[2:], 16))
    return _ESCAPED.get(text[1:], text)
