"""Removes one change from a text that was changed further since."""

from __future__ import annotations

from difflib import SequenceMatcher

Hunk = tuple[int, int, list[bytes]]


def without(before: bytes, after: bytes, now: bytes) -> bytes | None:
    """Return `now` without the change from `before` to `after`; None where those very lines were changed again since.

    What was taken out already is passed over.
    """
    base, old, current = (text.splitlines(keepends=True) for text in (after, before, now))
    ours, theirs = _hunks(base, old), _hunks(base, current)
    done = [hunk for hunk in ours if hunk in theirs]
    todo = [hunk for hunk in ours if hunk not in done]
    for start, end, _ in todo:
        for other_start, other_end, _ in theirs:
            if max(start, other_start) < min(end, other_end) or (start == end and other_start < start < other_end):
                return None
            if start == end == other_start == other_end or (other_start == other_end and start < other_start < end):
                return None
    out: list[bytes] = []
    position = 0
    for start, end, lines in sorted([*theirs, *todo], key=lambda hunk: (hunk[0], hunk[1])):
        out += [*base[position:start], *lines]
        position = end
    return b"".join([*out, *base[position:]])


def _hunks(base: list[bytes], other: list[bytes]) -> list[Hunk]:
    matcher = SequenceMatcher(None, base, other, autojunk=False)
    return [(i1, i2, other[j1:j2]) for kind, i1, i2, j1, j2 in matcher.get_opcodes() if kind != "equal"]
