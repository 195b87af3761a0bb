"""Logs that httpd pipes to rotatelogs(8) or cronolog: the names of the files that these write."""

from __future__ import annotations

import shlex

_WITH_VALUE = frozenset("-L -p -n -m".split())  # options of rotatelogs
_OF_CRONOLOG = frozenset("-H --hardlink -S --symlink -P --prev-symlink -x --debug -p --period -d --delay -r".split())


def files(command: str) -> str:
    """Return the pattern of the files that a piped command writes, with parts of times (`%Y`); "" for another command.

    rotatelogs adds the seconds since the epoch to a name without such parts, and `-n` makes it reuse a few names.
    """
    try:
        words = shlex.split(command.lstrip("|$").strip())
    except ValueError:
        return ""
    program = words[0].rpartition("/")[2] if words else ""
    if program not in ("rotatelogs", "rotatelogs2", "cronolog"):
        return ""
    is_rotatelogs = program != "cronolog"
    options, rest = [], words[1:]
    while rest and rest[0].startswith("-"):
        options.append(rest.pop(0))
        if options[-1] in (_WITH_VALUE if is_rotatelogs else _OF_CRONOLOG) and rest:
            rest.pop(0)
    if not rest or not rest[0].startswith("/"):
        return ""
    is_numbered = is_rotatelogs and "%" not in rest[0] and "-n" not in options
    return f"{rest[0]}.%s" if is_numbered else rest[0]
