"""Unicorn's time limit of a request, `timeout`, in its configuration file (lib/unicorn/configurator.rb)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from why502.backends.options import values
from why502.model.patterns import lazy

PROGRAM = "unicorn"
LIMIT = lazy(rb"^[ \t]*timeout\b(?:[ \t]*(?:\([ \t]*)?(?P<value>\d{1,6})[ \t]*(?:\)[ \t]*)?(?:#[^\n]*)?\r?$)?", re.MULTILINE)


def files(argv: Sequence[str]) -> Iterator[str]:
    """Yield the configuration file of a command; Unicorn reads none that is not named."""
    yield from values(argv, "-c", "--config-file")
