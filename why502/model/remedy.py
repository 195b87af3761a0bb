"""Remedy: a fix for a cause, in steps for a person or for `why502 fix`."""

from __future__ import annotations

from why502.model.base import Value

UNPLACED = -1  # the position in the line is found when the file is read


class Edit(Value, frozen=True, kw_only=True, tag="edit"):
    """A change at one place in one file: the bytes `start` to `end` become `after`. `diff` is the unified diff.

    If `start` is UNPLACED, it is the only place in its line where `before` occurs as a word.
    """

    file: str
    line: int
    start: int
    end: int
    before: str
    after: str
    diff: str = ""

    def meets(self, other: Edit) -> bool:
        """Return whether both change the same bytes, or at the same place."""
        if self.file != other.file or UNPLACED in (self.start, other.start):
            return self.file == other.file and self.line == other.line
        return self.start <= other.end and other.start <= self.end


class Run(Value, frozen=True, kw_only=True, tag="run"):
    """A command. `undo` is the command that reverts it; () if nothing needs reverting."""

    argv: tuple[str, ...]
    undo: tuple[str, ...] = ()


class Remedy(Value, frozen=True, kw_only=True):
    """`safe`: may be applied without asking. `is_policy`: it is a decision (what is trusted, allowed, stopped or
    started), so its cause must be named.
    """

    message: str
    steps: tuple[Edit | Run, ...] = ()
    safe: bool = False
    is_policy: bool = False
