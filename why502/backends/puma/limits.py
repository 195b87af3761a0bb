"""Puma's limit for a worker that does not check in, `worker_timeout`, in its configuration file (lib/puma/dsl.rb).

Puma checks in from a thread of its own: only what holds the interpreter's lock reaches this limit, not any slow request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from why502.backends.options import values
from why502.model.patterns import lazy

PROGRAM = "puma"
LIMIT = lazy(
    rb"^[ \t]*worker_timeout\b(?:[ \t]*(?:\([ \t]*)?(?P<value>\d{1,6})[ \t]*(?:\)[ \t]*)?(?:#[^\n]*)?\r?$)?", re.MULTILINE
)


def files(argv: Sequence[str]) -> Iterator[str]:
    """Yield the configuration file of a command, or the one that Puma reads in its directory without being told."""
    yield from tuple(values(argv, "-C", "--config")) or ("./config/puma.rb",)
