"""The directories that logrotate moves a log to (`olddir`): logrotate.conf(5)."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator
from pathlib import Path

from why502.model.patterns import lazy

MAIN = "/etc/logrotate.conf"
MOST_FILES = 200
MOST_BYTES = 1 << 20
_TOKEN = lazy(r"\"([^\"\n]*)\"|'([^'\n]*)'|([{}])|([^\s{}\"']+)")
_COMMENT = lazy(r"(?m)^[ \t]*#.*$")
_SCRIPT = lazy(r"(?ms)^[ \t]*(?:pre|post|first|last)(?:rotate|action)\b.*?^[ \t]*endscript\b")


def directories(log: str, main: str = MAIN) -> tuple[str, ...]:
    """Return the directories in which rotated files of a log may lie, besides its own. What cannot be read names none."""
    found: dict[str, None] = {}
    for text in _texts(main):
        for patterns, directory in _rules(text):
            if not patterns or any(fnmatch.fnmatchcase(log, pattern) for pattern in patterns):
                found[posixpath.normpath(posixpath.join(posixpath.dirname(log), directory))] = None
    return tuple(found)


def _texts(main: str) -> Iterator[str]:
    """Yield the main file and what it includes."""
    text = _read(main)
    yield text
    for line in text.splitlines():
        word, _, included = line.strip().partition(" ")
        if word == "include":
            path = Path(included.strip())
            names = sorted(path.iterdir())[:MOST_FILES] if path.is_dir() else [path]
            yield from (_read(str(name)) for name in names if name.is_file())


def _read(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            text = stream.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return _SCRIPT.sub("", _COMMENT.sub("", text))


def _rules(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the patterns of logs and their `olddir`; without patterns it is the default of all logs."""
    patterns: tuple[str, ...] = ()
    waiting: list[str] = []  # paths before a block
    is_inside = is_directory = False
    for line in text.splitlines():
        for match in _TOKEN.finditer(line):
            word = match[1] or match[2] or match[3] or match[4] or ""
            if word == "{":
                patterns, is_inside, waiting = tuple(waiting), True, []
            elif word == "}":
                patterns, is_inside = (), False
            elif is_directory:
                yield patterns, word
                is_directory = False
            elif word == "olddir":
                is_directory = True
            elif not is_inside and word.startswith("/"):
                waiting.append(word)
