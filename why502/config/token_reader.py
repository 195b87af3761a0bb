"""What every parser of a lossless tree shares: the text, the place that it has come to, and the problems on the way."""

from __future__ import annotations

from why502.config.tree import Kind, Node, Token
from why502.model.proxy import ConfigProblem


class TokenReader:
    """Reads one text from its begin to its end. Each token must be made in the order of the text: it moves the line on.

    `most_problems`: those after these are not kept.
    """

    def __init__(self, text: str, file: str, most_problems: int = 0) -> None:
        self.text = text
        self.file = file
        self.line = 1
        self.line_start = 0
        self.most_problems = most_problems
        self.problems: list[ConfigProblem] = []

    def token(self, kind: Kind, raw: str, start: int, value: str = "") -> Token:
        """Return the token of this text, which begins at an offset."""
        token = Token(kind, raw, value, self.file, start, self.line, start - self.line_start + 1)
        if "\n" in raw:
            self.line += raw.count("\n")
            self.line_start = start + raw.rindex("\n") + 1
        return token

    def span(self, kind: Kind, start: int, end: int, value: str = "") -> Token:
        """Return the token between two offsets."""
        return self.token(kind, self.text[start:end], start, value)

    def problem(self, message: str, where: Node | Token | None) -> None:
        """Keep a problem and its place, unless there are too many already."""
        if len(self.problems) < self.most_problems:
            self.problems.append(ConfigProblem(message=message, at=where.at if where else None, source=self.file))
