"""The lossless tree that every proxy's configuration is parsed into: printing it gives the same bytes.

The text is held as latin-1, one character per byte, so that offsets and columns count bytes in any encoding. Only
`Token.value` is decoded: as UTF-8 if the word is valid UTF-8, else as latin-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from why502.model.config import Position
from why502.model.errors import Why502Error
from why502.model.proxy import ConfigFile, ConfigProblem


class Kind(StrEnum):
    """The type of a token. MARK: punctuation of the language. CODE: text of another language. STRAY: a token in the wrong
    place.
    """

    WORD = "word"
    SPACE = "space"
    COMMENT = "comment"
    MARK = "mark"
    CODE = "code"
    STRAY = "stray"


class Token(msgspec.Struct, frozen=True, gc=False):
    """A piece of the text. `raw` has one character per byte; `line` and `column` count from 1, `start` from 0, in bytes."""

    kind: Kind
    raw: str
    value: str  # of a word: without its quotes and escapes; else ""
    file: str
    start: int
    line: int
    column: int

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        return self.start + len(self.raw)

    @property
    def at(self) -> Position:
        """Its position."""
        return Position(file=self.file, line=self.line, column=self.column, start=self.start, end=self.end)


class Node(msgspec.Struct, frozen=True):
    """A directive or section. `head`: its words and the mark that ends or opens it; `body`: None if it is not a block."""

    head: tuple[Token, ...]
    words: tuple[Token, ...]
    body: tuple[Node | Token, ...] | None = None
    tail: tuple[Token, ...] = ()  # the tokens that close the block

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0].value

    @property
    def args(self) -> tuple[str, ...]:
        """The words after the first."""
        return tuple([word.value for word in self.words[1:]])  # a list is built faster, for each of 100,000 directives

    @property
    def start(self) -> int:
        """The offset of its first byte."""
        return self.head[0].start

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        last: Node | Token = self
        while isinstance(last, Node):
            last = last.tail[-1] if last.tail else last.body[-1] if last.body else last.head[-1]
        return last.end

    @property
    def at(self) -> Position:
        """Its position: line and column of its first word, offsets from its first word to the mark that ends it (no body)."""
        first = self.words[0]
        return Position(file=first.file, line=first.line, column=first.column, start=first.start, end=self.head[-1].end)

    @property
    def children(self) -> Iterator[Node]:
        """The directives in its block."""
        return iter([item for item in self.body or () if isinstance(item, Node)])  # a list is built faster


class Tree(msgspec.Struct, frozen=True):
    """A file. `problems`: errors for which its proxy would refuse it, in the proxy's words; the tree contains those bytes too."""

    file: str
    items: tuple[Node | Token, ...]
    problems: tuple[ConfigProblem, ...] = ()

    @property
    def children(self) -> Iterator[Node]:
        """The directives at the top level."""
        return (item for item in self.items if isinstance(item, Node))


def tokens(tree: Tree) -> Iterator[Token]:
    """Yield every token of the file; each byte belongs to exactly one."""
    waiting: list[Node | Token] = list(reversed(tree.items))
    while waiting:
        item = waiting.pop()
        if isinstance(item, Token):
            yield item
        else:
            yield from item.head
            waiting.extend(reversed(item.tail))
            waiting.extend(reversed(item.body or ()))


def text(tree: Tree) -> bytes:
    """Return the file, byte for byte."""
    return "".join(token.raw for token in tokens(tree)).encode("latin-1")


def nodes(tree: Tree) -> Iterator[Node]:
    """Yield every directive of the file in order, including those in blocks."""
    waiting = list(reversed(list(tree.children)))
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(node.children)))


def node_at(tree: Tree, at: Position) -> Node:
    """Return the directive that begins at that byte. Raises Why502Error if there is none."""
    for node in nodes(tree):
        if node.words[0].start == at.start:
            return node
    raise Why502Error(f"{at}: no directive begins at byte {at.start}", "The file was changed since it was read.")


def decode(raw: str) -> str:
    """Return a word's text: UTF-8 if it is valid, else latin-1."""
    if raw.isascii():
        return raw
    try:
        return raw.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return raw


def recorded(path: str, content: bytes) -> ConfigFile:
    """Return the file as stored in a snapshot."""
    try:
        return ConfigFile(path=path, text=content.decode("utf-8"))
    except UnicodeDecodeError:
        return ConfigFile(path=path, text=content.decode("latin-1"), is_latin1=True)


def content(file: ConfigFile) -> bytes:
    """Return the bytes of a file from a snapshot."""
    return file.text.encode("latin-1" if file.is_latin1 else "utf-8")
