"""CSV (RFC 4180) for spreadsheets: what comes from a log must not become a formula there."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from why502.render.words import safe

# What a formula may begin with in Excel, LibreOffice or Google Sheets, also behind spaces and in the full-width forms that some
# of them accept (OWASP, "CSV Injection"). Tabs and line ends never get here: `safe` replaces them.
_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\uff20",
    "|",
    "%",
)


def row(cells: Iterable[str | float | None]) -> str:
    """Return one line with its line end. Texts are without secrets and control characters, and never a formula."""
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n").writerow(map(_cell, cells))
    return file.getvalue()


def _cell(value: str | float | None) -> str | float:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = safe(value)
    return f"'{text}" if text.lstrip().startswith(_STARTS) else text
