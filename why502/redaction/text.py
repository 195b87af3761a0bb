"""redact(): removes the secrets from a text; in_place(): the same, keeping every offset."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from why502.model.patterns import lazy
from why502.redaction.known import known, occurrences
from why502.redaction.pairs import STEMS, pairs
from why502.redaction.shapes import SEGMENT_HINTS, SHAPE_HINTS, TOKEN_BEGINS, shapes

Span = tuple[int, int]
HIDDEN = "[removed]"
SHORT = 200  # characters; names, words and addresses this short are mostly repeated within a snapshot
LONGEST = 1 << 20  # characters examined at once; a longer text is split into pieces of whole lines

_SMALL = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_HALF = lazy("[\ud800-\udfff]")
# nginx's own variables in a masked value are kept: a part of the request is not a secret of the configuration.
_CHARACTER = lazy(
    r"\$\{?(?:(?:http|arg|cookie|upstream|request|remote|proxy|server|secure_link|ssl|document|fastcgi|binary|time|connection)(?:_\w{1,60})?"
    r"|uri|args|host|scheme|is_args|query_string|msec)\b\}?|[^\s\"';]"
)


def redact(text: str) -> str:
    """Return the text with every secret in it replaced by `[removed]`."""
    text = clean(text)
    return _masked(text, spans(text))


def _masked(text: str, found: list[Span]) -> str:
    if not found:
        return text
    out, position = [], 0
    for start, end in found:
        out += [text[position:start], HIDDEN]
        position = end
    return "".join(out) + text[position:]


def in_place(text: str) -> str:
    """Return a configuration file's text, or a diff of it, with each byte of a secret as `x`, so that offsets stay valid."""
    out, position = [], 0
    for start, end in spans(text):
        out += [text[position:start], _CHARACTER.sub(_crosses, text[start:end])]
        position = end
    return "".join(out) + text[position:]


def _crosses(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("$") else "x" * len(match[0].encode("utf-8", "surrogateescape"))


def spans(text: str) -> list[Span]:
    """Return the spans of secrets in a text, in order, without overlaps."""
    if len(text) > LONGEST:
        return [(start + offset, end + offset) for offset, piece in _pieces(text) for start, end in spans(piece)]
    found = [*(_own_of_short(text) if len(text) <= SHORT else _own(text)), *occurrences(text)]
    return merged(found, text) if found else []


def _own(text: str) -> tuple[Span, ...]:
    """Return the spans of secrets recognisable from the text alone, without the list of known values."""
    lower = text.lower() if text.isascii() else text.translate(_SMALL)
    return (*pairs(text, lower), *shapes(text, lower))


_own_of_short = lru_cache(1 << 13)(_own)


def merged(found: Iterable[Span], text: str) -> list[Span]:
    """Return the spans sorted and merged if they touch or overlap, without those already masked."""
    result: list[Span] = []
    for start, end in sorted(found):
        if end <= start:
            continue
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return [span for span in result if text[span[0] : span[1]] != HIDDEN]


def _pieces(text: str) -> Iterable[tuple[int, str]]:
    position = 0
    while position < len(text):
        end = position + LONGEST
        if end < len(text):
            end = text.rfind("\n", position, end) + 1 or end
        yield position, text[position:end]
        position = end


# Every line that redact() changes contains one of these; they are searched for in many lines at once.
_HINTS = tuple(
    dict.fromkeys(
        (
            *SEGMENT_HINTS,
            *STEMS,
            *SHAPE_HINTS,
            "@",
            "basic",
            "digest",
            "negotiate",
            "$",
            "{s",
            "{m",
            "{c",
            "private",
            "map ",
            "geo ",
            "haproxy",  # HAProxy logs a cookie between the bytes and the flags
            "/-1/",
        )
    )
)
_LONG = lazy(r"=[\w.~%+/-]{30}")


_DIGITS = str.maketrans("", "", "0123456789")
_LETTERS = {hint: "".join(hint.translate(_DIGITS).split()) for hint in _HINTS}
_BEGINS = {begin: begin.translate(_DIGITS) for begin in TOKEN_BEGINS}


def redact_lines(text: str) -> str:
    """Return many lines without their secrets, as redact() does for each; lines without any hint of a secret cost next to
    nothing.

    Bytes that are not UTF-8 are kept.
    """
    # Log lines consist of few different words, except for numbers: the words are checked instead of the whole text.
    words = "\n".join(set(text.translate(_DIGITS).split()))
    lower = words.lower()
    hints = [hint for hint, letters in _LETTERS.items() if letters in lower]
    begins = [begin for begin, letters in _BEGINS.items() if letters in words and begin in text]
    is_long = bool(_LONG.search(text))
    if not (hints or begins or is_long or known()):
        return text
    return "\n".join(_line(line, hints, begins, is_long=is_long) for line in text.split("\n"))


def _line(line: str, hints: list[str], begins: list[str], *, is_long: bool) -> str:
    lower = line.lower()
    if not (any(h in lower for h in hints) or any(b in line for b in begins) or known() or (is_long and _LONG.search(line))):
        return line
    return _masked(line, spans(line))


def without_query(request: str) -> str:
    """Return `METHOD /path` of a request line: no query, no protocol, secrets removed, at most 200 characters."""
    return _redacted(bare(request).removesuffix("?"))


def bare(request: str) -> str:
    """Return `METHOD /path` of a request line with its secrets, at most 200 characters, and a "?" if it had a query."""
    method, _, rest = request.partition(" ")
    path = rest.split(" ", 1)[0].split("?", 1)[0].split("#", 1)[0] if rest else ""
    return f"{method} {path}".strip()[:200].removesuffix("?") + ("?" if "?" in request else "")


@lru_cache(4096)
def _redacted(text: str) -> str:
    return redact(text)


def clean(text: str) -> str:
    """Return text that can be written anywhere: bytes that are not UTF-8 (surrogates, PEP 383) are replaced."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # half a surrogate pair, as JSON can contain it (RFC 8259, 8.2)
        return _HALF.sub("\ufffd", text)
