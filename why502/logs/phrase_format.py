"""A log format that consists only of a table of phrases: builds what a module of `formats` must define from the table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from why502.logs.phrases import Phrase, marks, read, share
from why502.model.logs import LogRecord

Parts = tuple[tuple[bytes, ...], Callable[[list[str]], float], Callable[[str], LogRecord | None]]


def of_phrases(name: str, phrases: Sequence[Phrase], shape: re.Pattern[str] | None = None, *, is_shared: bool = False) -> Parts:
    """Return MARKS, fits() and parse() of a format: each line has the meaning of the first phrase that matches it.

    `shape` matches lines that this program writes but the table does not hold, such as the head of a line or a stack trace. If
    other programs write the same phrases (`is_shared`), a match counts half, and only in a sample without that shape.
    """

    def parse(line: str) -> LogRecord | None:
        return read(line, phrases, name)

    def fits(sample: list[str]) -> float:
        if is_shared and shape is not None:
            return share(sample, shape.search) or share(sample, parse) / 2
        return share(sample, lambda line: (shape is not None and shape.search(line)) or parse(line))

    return marks(phrases), fits, parse
