"""`# why502: ignore RULE[, RULE] -- reason`: findings that a person checked and accepted, marked in the file itself.

After a directive it applies to that line; on a line of its own, to the next line that is neither empty nor a comment;
`ignore-file` applies to the whole file. Without a reason, or for an unknown rule, it has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from why502.linter.engine import meant
from why502.model.errors import Why502Error
from why502.model.finding import Risk
from why502.model.patterns import lazy

_COMMENT = lazy(r"[#;]\s{0,100}+why502:(?P<rest>.*)")
_IGNORE = lazy(r"ignore(?P<file>-file)?(?P<rules>\s(?:[\w,\s]|-(?!-\s))*+)--\s++(?P<reason>\S.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressions:
    """`lines`: rule ids by file and line; line 0 is the whole file. `notices`: invalid comments, and the reasons."""

    lines: Mapping[tuple[str, int], frozenset[str]]
    notices: tuple[str, ...] = ()

    def holds_for(self, risk: Risk) -> bool:
        """Return whether a comment suppresses that risk."""
        at = risk.at
        return at is not None and any(risk.rule in self.lines.get((at.file, line), ()) for line in (0, at.line))


def read(texts: Mapping[str, str]) -> Suppressions:
    """Return the suppressions in the comments of all files."""
    found: dict[tuple[str, int], frozenset[str]] = {}
    notices = []
    for file, text in texts.items():
        if "why502:" not in text:
            continue
        lines = text.split("\n")
        following = _following(lines)
        for number, line in enumerate(lines, 1):
            if "why502:" not in line or (match := _COMMENT.search(line)) is None:
                continue
            try:
                is_file, rules = _parsed(match["rest"])
            except Why502Error as error:
                notices.append(f"{file}:{number}: {error.message}; {error.hint}")
                continue
            where = 0 if is_file else number if line[: match.start()].strip() else following[number]
            found[file, where] = found.get((file, where), frozenset()) | rules
    return Suppressions(lines=found, notices=tuple(notices))


def _parsed(rest: str) -> tuple[bool, frozenset[str]]:
    match = _IGNORE.match(rest.strip())
    if match is None:
        raise Why502Error("the comment cannot be parsed, so nothing is ignored", "write: why502: ignore RULE -- reason")
    words = [word for word in re.split(r"[,\s]+", match["rules"]) if word]
    return bool(match["file"]), frozenset(rule.id for word in words for rule in meant(word))


def _following(lines: list[str]) -> list[int]:
    """Return for each number of a line that of the next line that is neither empty nor a comment; after the last one its own."""
    found = list(range(len(lines) + 1))
    for number in range(len(lines) - 1, 0, -1):
        text = lines[number].strip()
        is_content = bool(text) and text[0] not in "#;"
        after = found[number + 1]
        found[number] = number + 1 if is_content else after if after > number + 1 else number
    return found


def split(risks: Iterable[Risk], suppressions: Suppressions) -> tuple[tuple[Risk, ...], int]:
    """Return the remaining risks, and how many were suppressed."""
    every = tuple(risks)
    left = tuple(risk for risk in every if not suppressions.holds_for(risk))
    return left, len(every) - len(left)
