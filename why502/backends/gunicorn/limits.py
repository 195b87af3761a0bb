"""gunicorn's time limit of a request, `timeout`, in its configuration file (gunicorn/app/base.py, gunicorn/config.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from why502.backends.options import values
from why502.model.patterns import lazy

PROGRAM = "gunicorn"
LIMIT = lazy(rb"^[ \t]*timeout[ \t]*=(?!=)(?:[ \t]*(?P<value>\d{1,6})[ \t]*(?:#[^\n]*)?\r?$)?", re.MULTILINE)


def files(argv: Sequence[str]) -> Iterator[str]:
    """Yield the configuration file of a command, or the one that gunicorn reads in its directory without being told."""
    yield from tuple(values(argv, "-c", "--config")) or ("./gunicorn.conf.py",)
