"""Removes one change from a text that has changed further since: by lines, or by words if both changed the same line."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from why502.model.patterns import lazy

Hunk = tuple[int, int, list[bytes]]
MOST_WORDS = 20_000  # of the part that differs: the comparison takes quadratic time
# Parts of a line, the larger ones first: words with the end of their directive, and words alone. Each has the space before it:
# so words are added to a directive, and directives to a line.
_PARTS = (lazy(rb"\s*(?:[^\s;{}]+;?|[;{}])|\s+"), lazy(rb"\s*(?:[^\s;{}]+|[;{}])|\s+"))


def without(before: bytes, after: bytes, now: bytes) -> bytes | None:
    """Return `now` without the change from `before` to `after`; None if those very words were changed again since.

    Parts of the change that are already gone are skipped.
    """
    texts = [text.splitlines(keepends=True) for text in (before, after, now)]
    if (by_line := _without(*texts, may_meet=False)) is not None:
        return by_line
    head = _shared(texts)
    tail = _shared([lines[head:][::-1] for lines in texts])
    middles = [b"".join(lines[head : len(lines) - tail]) for lines in texts]
    for part in _PARTS:
        words = [part.findall(middle) for middle in middles]
        if all(len(found) <= MOST_WORDS for found in words) and (left := _without(*words, may_meet=True)) is not None:
            return b"".join([*texts[-1][:head], left, *texts[-1][len(texts[-1]) - tail :]])
    return None


def _shared(texts: Sequence[Sequence[bytes]]) -> int:
    """Return how many lines at the start are the same in all texts."""
    number = 0
    for lines in zip(*texts, strict=False):
        if len(set(lines)) > 1:
            break
        number += 1
    return number


def _without(old: Sequence[bytes], base: Sequence[bytes], current: Sequence[bytes], *, may_meet: bool) -> bytes | None:
    """Return `current` without the change from `old` to `base`. `may_meet`: both changes may insert at the same place; ours
    comes first.
    """
    ours, theirs = _hunks(base, old), _hunks(base, current)
    done = [hunk for hunk in ours if hunk in theirs]
    todo = [hunk for hunk in ours if hunk not in done]
    for start, end, _ in todo:
        for other_start, other_end, _ in theirs:
            if max(start, other_start) < min(end, other_end) or (start == end and other_start < start < other_end):
                return None
            if (start == end == other_start == other_end and not may_meet) or (
                other_start == other_end and start < other_start < end
            ):
                return None
    out: list[bytes] = []
    position = 0
    for start, end, lines in sorted([*todo, *theirs], key=lambda hunk: (hunk[0], hunk[1])):
        out += [*base[position:start], *lines]
        position = end
    return b"".join([*out, *base[position:]])


def _hunks(base: Sequence[bytes], other: Sequence[bytes]) -> list[Hunk]:
    head = _shared([base, other])  # first: otherwise repeated text could be matched with the wrong occurrence
    tail = _shared([base[head:][::-1], other[head:][::-1]])
    ours, theirs = base[head : len(base) - tail], other[head : len(other) - tail]
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    return [(head + i1, head + i2, list(theirs[j1:j2])) for kind, i1, i2, j1, j2 in matcher.get_opcodes() if kind != "equal"]
