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
_WORD, _SPACE = Kind.WORD, Kind.SPACE  # each is looked up for every token
_TOKEN = lazy(
    r"(?P<space>[^\S\n]++)|(?P<lines>\n++)|(?P<comment>\#[^\n]*+)|(?P<word>[^\s'\"\\\#]++(?=\s|\Z))|(?P<other>.)", re.ASCII
)


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
        self.words: list[Token] = []
        self.last = 0  # how many tokens of the head come before what follows its last word

    def read(self) -> Tree:
        text, at = self.text, 0
        while (at := self.up_to_quotes(at)) < len(text):
            if self.line > MOST_LINES:
                self.add_stray(at, len(text))
                break
            if (end := words.ends(text, at)) > at:
                self.add_word(self.span(_WORD, at, end, words.value(text[at:end])))
                at = end
            else:
                self.add_stray(at, at + 1)
                at += 1
        self.end_line()
        self.end_section()
        return Tree(file=self.file, items=tuple(self.top))

    def up_to_quotes(self, at: int) -> int:
        """Read up to the end of the text or the next word that is not plain; return its offset."""
        file = self.file
        for match in _TOKEN.finditer(self.text, at):  # every character starts one of the alternatives: there are no gaps
            group, raw = match.lastgroup, match[0]
            if group == "word" and raw.isascii() and len(raw) <= words.LONGEST and self.line <= MOST_LINES:
                self.add_word(Token(_WORD, raw, raw, file, at, self.line, at - self.line_start + 1))
            elif group == "space":
                (self.head or self.items).append(Token(_SPACE, raw, "", file, at, self.line, at - self.line_start + 1))
            elif group in ("lines", "comment"):
                self.end_line()
                self.items.append(self.token(_SPACE if group == "lines" else Kind.COMMENT, raw, at))
            else:
                return at
            at += len(raw)
        return at

    def add_word(self, token: Token) -> None:
        """Add a word to the line."""
        self.head.append(token)
        self.words.append(token)
        self.last = len(self.head)

    def add_stray(self, start: int, end: int) -> None:
        """Add what cannot be read: within a line to its head, else to the block."""
        (self.head or self.items).append(self.span(Kind.STRAY, start, end))

    def end_line(self) -> None:
        """Make a directive of the words since the line's begin; trailing space stays outside of it."""
        head, found, last = self.head, tuple(self.words), self.last
        if not head:
            return
        self.head, self.words = [], []
        if found[0].value in SECTIONS:
            self.end_section()
            self.section = (tuple(head[:last]), found)
            self.items = []
        else:
            self.items.append(Node(tuple(head[:last]), found))
        if last < len(head):
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
