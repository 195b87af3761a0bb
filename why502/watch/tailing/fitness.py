"""Notices that the lines of a log no longer have the format that the configuration says."""

from __future__ import annotations

from dataclasses import dataclass

from why502.logs.scan.counts import Counts

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
    has_told: bool = False

    def add(self, counts: Counts, now: float) -> str:
        """Count some lines; return "ask" or "tell" where a window had too many unparsed ones, the first or the second time."""
        if not self.lines:
            self.began_at = now
        self.lines += counts.lines
        self.unparsed += counts.unparsed
        if counts.unparsed_first and not self.example:
            self.example = counts.unparsed_first[0][2]
        if now - self.began_at < WINDOW_S or self.lines < LEAST:
            return ""
        is_bad = self.unparsed > SHARE * self.lines
        said = "" if not is_bad or self.has_told else "tell" if self.has_asked else "ask"
        self.has_asked, self.has_told = is_bad, is_bad and (self.has_told or said == "tell")
        if said != "tell":
            self.forget()
        return said

    def message(self, log_format: str) -> str:
        """Return what a person must know, and begin a new window."""
        share = round(100 * self.unparsed / max(self.lines, 1))
        form = f"the log_format in force is {log_format}" if log_format else "its format is not known from a configuration"
        said = f"{share} % of the lines of the last {WINDOW_S:.0f} s could not be parsed, the first is: {self.example}; {form}"
        self.forget()
        return said

    def forget(self) -> None:
        """Begin a new window."""
        self.lines = self.unparsed = 0
        self.example = ""
