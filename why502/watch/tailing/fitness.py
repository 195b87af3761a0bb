"""Notices that the lines of a log no longer have the format that the configuration says."""

from __future__ import annotations

from dataclasses import dataclass

from why502.logs.scan.counts import Counts
from why502.redaction import redact

SHARE = 0.1
WINDOW_S = 120.0
LEAST = 10  # lines; fewer tell nothing


@dataclass(slots=True)
class Fitness:
    """The share of unparsed lines, window by window."""

    lines: int = 0
    unparsed: int = 0
    example: str = ""
    began_at: float = 0.0
    has_asked: bool = False
    reason: str | None = None

    def add(self, counts: Counts, now: float, log_format: str) -> bool:
        """Count some lines; return whether the configuration should be read again, as a window had too many unparsed ones.

        After a second such window, `reason` says what a person must know; after a window with few it is "", before any None.
        """
        if not self.lines:
            self.began_at = now
        self.lines += counts.lines
        self.unparsed += counts.unparsed
        if counts.unparsed_first and not self.example:
            self.example = counts.unparsed_first[0][2]
        if now - self.began_at < WINDOW_S or self.lines < LEAST:
            return False
        is_bad = self.unparsed > SHARE * self.lines
        if not is_bad:
            self.reason = ""
        elif self.has_asked and not self.reason:
            self.reason = self._message(log_format)
        is_first, self.has_asked = is_bad and not self.has_asked, is_bad
        self.forget()
        return is_first

    def _message(self, log_format: str) -> str:
        share = round(100 * self.unparsed / self.lines)
        form = f"the log_format in force is {log_format}" if log_format else "no configuration states its format"
        return (
            f"{share} % of its lines could not be parsed for {2 * WINDOW_S:.0f} s; {form}; the first is: {redact(self.example)}"
        )

    def forget(self) -> None:
        """Begin a new window."""
        self.lines = self.unparsed = 0
        self.example = ""
