"""uWSGI's time limit of a request, `harakiri`, in the ini and YAML files that its command names (core/ini.c, core/yaml.c)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from why502.model.patterns import lazy

PROGRAM = "uwsgi"
# The value is absent if it is no plain number (a placeholder, for example).
LIMIT = lazy(rb"^[ \t]*harakiri[ \t]*[=:](?:[ \t]*(?P<value>\d{1,6})[ \t]*\r?$)?", re.MULTILINE)


def files(argv: Sequence[str]) -> Iterator[str]:
    """Yield the configuration files of a command, in the order in which uWSGI reads them: options, and names given alone."""
    for word in argv[1:]:
        name = word.partition("=")[2] if word.startswith("--") and "=" in word else word
        if name.endswith((".ini", ".yaml", ".yml")):
            yield name
