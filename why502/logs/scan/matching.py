"""The paths that match a pattern, as the shell's `*`, `?`, `[…]` and `**` do, without being led in circles by links.

Python's own glob follows a link to a directory again each time it meets it: two links to their own directory are 2**40 paths.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator

from why502.model.patterns import lazy

_BELOW = lazy(r"(?:^|(?<=/))\*\*(?:/+|$)")


def matching(pattern: str) -> Iterator[str]:
    """Yield the paths that match; those below a `**` once, though several links may lead there. Hidden names match no wildcard.

    A directory below `**` that cannot be listed is yielded itself.
    """
    match = _BELOW.search(pattern)
    if match is None:
        yield from glob.iglob(pattern)  # noqa: PTH207 - a pattern of the user's, as the shell knows it
        return
    before, after = pattern[: match.start()], pattern[match.end() :]
    seen: set[tuple[int, int]] = set()
    for start in glob.iglob(before) if glob.has_magic(before) else [before]:  # noqa: PTH207
        for directory in _directories(start, seen):
            if os.access(directory or ".", os.R_OK | os.X_OK):
                yield from matching(os.path.join(glob.escape(directory), after or "*"))  # noqa: PTH118 - as written
            else:
                yield directory


def _directories(start: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Yield a directory and all below it, each once; `seen` has the devices and inodes of those met before."""
    waiting = [start]
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path or ".")  # noqa: PTH116
        except OSError:
            continue
        if (key := (status.st_dev, status.st_ino)) in seen:
            continue
        seen.add(key)
        yield path
        waiting += reversed(_below(path))


def _below(path: str) -> list[str]:
    """Return the directories in a directory, in order; those behind links last, so that the shortest way to each is taken."""
    try:
        with os.scandir(path or ".") as entries:
            found = [(entry.is_symlink(), entry.name) for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
    paths = [os.path.join(path, name) for _, name in sorted(found)]  # noqa: PTH118
    return [below for below in paths if os.path.isdir(below)]  # noqa: PTH112 - False for a link to itself
