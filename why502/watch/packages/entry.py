"""Entry: one line about a package in the log of a package manager."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from why502.model.times import of_iso

MOST_READ = 1 << 20  # bytes of a list of files


@dataclass(frozen=True, slots=True)
class Entry:
    """A package that was changed. `what`: installed, upgraded, downgraded, reinstalled or removed.

    `at` is None where the line has no time: then it was written right before the log was modified last.
    """

    name: str
    what: str
    at: datetime | None = None
    version: str = ""
    architecture: str = ""

    @property
    def detail(self) -> str:
        """What happened, in a few words: "upgraded to 1.26.3-1"."""
        return f"{self.what} to {self.version}" if self.version and self.what in ("upgraded", "downgraded") else self.what


def time_of(text: str) -> datetime | None:
    """Return a time of ISO 8601, in this machine's zone where it names none; None if it is not a time."""
    at = of_iso(text)
    return at.astimezone(UTC) if at else None
