"""The language of haproxy.cfg: text ⇄ lossless tree. A section is a block that lasts until the next one.

A line is a directive; it cannot be continued. Lines before the first section are at the top, as in a fragment. Unknown sections
are read as lines of the one before. Source: doc/configuration.txt, 2; src/tools.c, parse_line.
"""

from __future__ import annotations

import re

from why502.config.token_reader import TokenReader
from why502.config.tree import Kind, Node, Token, Tree
from why502.gateways.haproxy.config import words
from why502.model.patterns import lazy

SECTIONS = frozenset(
    "global defaults frontend backend listen resolvers peers mailers userlist program http-errors ring cache fcgi-app log-forward"
    " log-profile crt-store traces acme".split()
)
MOST_LINES = 200_000
_BLANK = lazy(r"[^\S\n]++|\n++", re.ASCII)
_COMMENT = lazy(r"\#[^\n]*+")


def parse(content: bytes, file: str) -> Tree:
    """Return the tree of any bytes."""
    return _Reader(content.decode("latin-1"), file).read()


class _Reader(TokenReader):
    """Reads one text, line by line. What is left beyond MOST_LINES is one stray token."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text, file)
        self.top: list[Node | Token] = []
        self.section: tuple[tuple[Token, ...], tuple[Token, ...]] | None = None
        self.items = self.top
        self.head: list[Token] = []

    def read(self) -> Tree:
        text, at = self.text, 0
        while at < len(text):
            if match := _BLANK.match(text, at):
                if "\n" in match[0]:
                    self.end_line()
                self.add(Kind.SPACE, at, match.end())
            elif match := _COMMENT.match(text, at):
                self.end_line()
                self.add(Kind.COMMENT, at, match.end())
            elif self.line > MOST_LINES:
                self.add(Kind.STRAY, at, len(text))
                break
            elif (end := words.ends(text, at)) > at:
                self.head.append(self.span(Kind.WORD, at, end, words.value(text[at:end])))
                at = end
                continue
            else:
                self.add(Kind.STRAY, at, at + 1)
                at += 1
                continue
            at = match.end()
        self.end_line()
        self.end_section()
        return Tree(file=self.file, items=tuple(self.top))

    def add(self, kind: Kind, start: int, end: int) -> None:
        """Add a token that is not a word: within a line to its head, else to the block."""
        (self.head if self.head else self.items).append(self.span(kind, start, end))

    def end_line(self) -> None:
        """Make a directive of the words since the line's begin; trailing space stays outside of it."""
        head, self.head = self.head, []
        if not head:
            return
        last = max(number for number, token in enumerate(head) if token.kind is Kind.WORD) + 1
        found = tuple(token for token in head if token.kind is Kind.WORD)
        if found[0].value in SECTIONS:
            self.end_section()
            self.section = (tuple(head[:last]), found)
            self.items = []
        else:
            self.items.append(Node(tuple(head[:last]), found))
        self.items.extend(head[last:])

    def end_section(self) -> None:
        if self.section is not None:
            self.top.append(Node(*self.section, body=tuple(self.items)))
        self.section, self.items = None, self.top


def quote(word: str) -> str:
    """Return the word quoted so that a configuration reads it back unchanged."""
    if word and re.fullmatch(r"[^\s'\"\\#$]+", word):
        return word
    return "'{}'".format(word.replace("'", "'\"'\"'"))
