"""The options of an application server's command."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence


def values(argv: Sequence[str], *names: str) -> Iterator[str]:
    """Yield the values of options given as `--name value`, `--name=value`, `-n value` or `-nvalue`."""
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        for name in filter(None, names):
            if word == name and following:
                yield following
            elif name.startswith("--") and word.startswith(f"{name}="):
                yield word.partition("=")[2]
            elif len(name) == 2 and word.startswith(name) and len(word) > 2 and not word.startswith("--"):
                yield word[2:]


def option(argv: Sequence[str], *names: str) -> str:
    """Return the last value of an option; "" if it is not given."""
    return ([*values(argv, *names)] or [""])[-1]


def runs(argv: tuple[str, ...], programs: Iterable[str]) -> bool:
    """Return whether a command line starts one of these programs, itself or by an interpreter, a module (`-m`) or `exec`."""
    return any(posixpath.basename(word) in programs for word in argv[:4])


def number(text: str) -> int | None:
    """Return a positive whole number of at most six digits; None for any other text."""
    return int(text) or None if text.isascii() and text.isdecimal() and len(text) <= 6 else None
