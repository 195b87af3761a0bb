"""Conditional blocks: `.if`, `.elif`, `.else`, `.endif`. Source: doc/configuration.txt, 2.4 (conditional blocks)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from why502.model.patterns import lazy

_TOKEN = lazy(r"\s*(?:(?P<sign>&&|\|\||!|\(|\))|(?P<call>\w{1,40})\((?P<args>[^()]{0,1000})\)|(?P<word>[^\s()&|!]{1,1000}))")
_DEEPEST = 50
_LONGEST = 4096
KEYWORDS = frozenset({".if", ".elif", ".else", ".endif"})


def evaluated(text: str, variables: Mapping[str, str] | None) -> bool | None:
    """Return the outcome of a condition; None if it depends on what is not known here: the build, the version, the environment.

    `variables`: those that are set; None if unknown.
    """
    if not text.strip():
        return False
    reader = _Reader(text[:_LONGEST], variables)
    return reader.any_of(0) if reader.tokens is not None else None


class _Reader:
    def __init__(self, text: str, variables: Mapping[str, str] | None) -> None:
        self.variables = variables
        self.at = 0
        self.tokens = _tokens(text)

    def any_of(self, depth: int) -> bool | None:
        found = self.all_of(depth)
        while self.take("||"):
            found = _either(found, self.all_of(depth))
        return found

    def all_of(self, depth: int) -> bool | None:
        found = self.term(depth)
        while self.take("&&"):
            found = _not(_either(_not(found), _not(self.term(depth))))
        return found

    def term(self, depth: int) -> bool | None:
        if depth > _DEEPEST or self.tokens is None or self.at >= len(self.tokens):
            return None
        if self.take("!"):
            return _not(self.term(depth + 1))
        if self.take("("):
            found = self.any_of(depth + 1)
            self.take(")")
            return found
        token = self.tokens[self.at]
        self.at += 1
        if token["call"]:
            return _called(token["call"], [arg.strip().strip("'\"") for arg in token["args"].split(",")], self.variables)
        word = token["word"] or ""
        return int(word) != 0 if re.fullmatch(r"[+-]?\d{1,9}", word) else None

    def take(self, sign: str) -> bool:
        if self.tokens is None or self.at >= len(self.tokens) or self.tokens[self.at]["sign"] != sign:
            return False
        self.at += 1
        return True


def _tokens(text: str) -> list[re.Match[str]] | None:
    """Return the parts of a condition; None if it is malformed."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            return None
        found.append(match)
        at = match.end()
    return found


def _called(name: str, args: list[str], variables: Mapping[str, str] | None) -> bool | None:
    """Return the value of a predicate."""
    if name == "defined":
        return None if variables is None else args[0] in variables
    if name in _OF_TEXTS and len(args) == 2:
        return None if "$" in args[0] or "$" in args[1] else _OF_TEXTS[name](args[0], args[1])
    return None  # feature(), version_atleast(), openssl_version_before()…


_OF_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "streq": lambda left, right: left == right,
    "strneq": lambda left, right: left != right,
    "strstr": lambda left, right: right in left,
}


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _either(left: bool | None, right: bool | None) -> bool | None:
    if left or right:
        return True
    return None if left is None or right is None else False


@dataclass(slots=True)
class _Block:
    """One block. `is_read`: whether HAProxy reads the present branch. `had_one`: whether a condition so far was met."""

    is_read: bool | None
    had_one: bool | None
    text: str


@dataclass(slots=True)
class Blocks:
    """The conditional blocks around the present line of a file."""

    stack: list[_Block] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        """Whether HAProxy reads the present line, or may."""
        return not self.stack or all(block.is_read is not False for block in self.stack)

    @property
    def text(self) -> str:
        """The conditions on which the present line depends, as far as their outcome is unknown."""
        return " and ".join(block.text for block in self.stack if block.is_read is None) if self.stack else ""

    def take(self, keyword: str, condition: str, variables: Mapping[str, str] | None) -> None:
        """Enter or leave a block."""
        if keyword == ".if":
            outcome = evaluated(condition, variables) if self.is_active else False
            self.stack.append(_Block(outcome, outcome, condition))
        elif self.stack and keyword == ".endif":
            self.stack.pop()
        elif self.stack:
            block = self.stack[-1]
            outcome = True if keyword == ".else" else evaluated(condition, variables)
            block.is_read = _not(_either(block.had_one, _not(outcome)))
            block.had_one = _either(block.had_one, outcome)
            block.text = condition or f"not {block.text}"
