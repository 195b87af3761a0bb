"""Logs that httpd pipes to another program: the files that rotatelogs(8) and cronolog write, or the journal and syslog."""

from __future__ import annotations

import shlex

_WITH_VALUE = frozenset("-L -p -n -m".split())  # options of rotatelogs
_OF_CRONOLOG = frozenset("-H --hardlink -S --symlink -P --prev-symlink -x --debug -p --period -d --delay -r".split())
_TO_JOURNAL = frozenset({"systemd-cat", "logger"})
_ELSEWHERE = ("-n", "--server", "-u", "--socket")  # another machine, or another socket than that of syslog


def is_to_journal(command: str) -> bool:
    """Return whether a piped command passes the lines on to this machine's journal: systemd-cat(1), logger(1)."""
    words = _words(command)
    return _program(words) in _TO_JOURNAL and not any(word.startswith(_ELSEWHERE) for word in words)


def files(command: str) -> str:
    """Return the pattern of the files that a piped command writes, with parts of times (`%Y`); "" for another command.

    rotatelogs adds the seconds since the epoch to a name without such parts, and `-n` makes it reuse a few names.
    """
    words = _words(command)
    program = _program(words)
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


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command.lstrip("|$").strip())
    except ValueError:
        return []


def _program(words: list[str]) -> str:
    return words[0].rpartition("/")[2] if words else ""
