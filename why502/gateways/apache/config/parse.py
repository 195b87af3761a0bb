"""The language of httpd's configuration: text ⇄ lossless tree.

A line ends at a line feed that no backslash precedes. `<Name …>` opens a block, `</Name>` closes it; a `#` that begins a line
begins a comment. Where httpd would stop, the parser records the problem and continues. Sources: server/config.c, ap_build_config;
server/util.c, ap_cfg_getline and ap_getword_conf.
"""

from __future__ import annotations

import re

from why502.config.token_reader import TokenReader
from why502.config.tree import Kind, Node, Token, Tree, decode
from why502.model.patterns import lazy

MAX_DEPTH = 50  # blocks within blocks; deeper ones are kept as loose tokens
MOST_LINES = 200_000
_MOST_PROBLEMS = 20
_LINE = lazy(r"(?:[^\n\\]++|\\\r?\n|\\)*+", re.ASCII)  # a logical line, without its line feed
_BLANKS = " \t\n\r\f\v"  # as isspace() in the C locale: others may be letters
_SPACE = lazy(r"(?:[^\S\n]|\\\r?\n|\n)++", re.ASCII)
_PIECE = lazy(
    r"""(?P<space>(?:[^\S\n]|\\\r?\n|\n)++)
    |(?P<plain>[^\s\\"'][^\s\\]*+(?![^\s]))
    |(?P<quoted>"(?:[^"\\]++|\\[\s\S]?)*+"?|'(?:[^'\\]++|\\[\s\S]?)*+'?)
    |(?:[^\s\\]++|\\\r?\n|\\)++""",
    re.ASCII | re.VERBOSE,
)
_NAME = lazy(r"[^\s>]++", re.ASCII)
_JOINED = lazy(r"\\\r?\n")
_ESCAPED = lazy(r"\\([\"'\\])")


def parse(content: bytes, file: str) -> Tree:
    """Return the tree of any bytes."""
    return _Reader(content.decode("latin-1"), file).read()


class _Reader(TokenReader):
    """Reads one text. The stack holds, for each open block, its head, its words, and the items around it."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text, file, _MOST_PROBLEMS)
        self.items: list[Node | Token] = []
        self.stack: list[tuple[tuple[Token, ...], tuple[Token, ...], list[Node | Token]]] = []

    def read(self) -> Tree:
        at, text = 0, self.text
        while at < len(text):
            if match := _SPACE.match(text, at):
                self.items.append(self.span(Kind.SPACE, at, match.end()))
                at = match.end()
                continue
            if self.line > MOST_LINES:
                self.items.append(self.span(Kind.STRAY, at, len(text)))
                break
            found = _LINE.match(text, at)
            assert found is not None  # it also matches nothing
            end = at + len(found[0].rstrip(_BLANKS))
            if text[at] == "#":
                self.items.append(self.span(Kind.COMMENT, at, end))
            elif text.startswith("</", at):
                self.close(at, end)
            elif text[at] == "<":
                self.open(at, end)
            else:
                head, words = self.words(at, end)
                self.items.append(Node(head, words))
            at = end
        while self.stack:
            self.problem(f"<{self.stack[-1][1][0].value}> was not closed.", self.stack[-1][1][0])
            self.pop(())
        return Tree(file=self.file, items=tuple(self.items), problems=tuple(self.problems))

    def words(self, at: int, end: int) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        """Return the tokens of a part of the text that begins with a word, and those that are words."""
        head: list[Token] = []
        while at < end:
            match = _PIECE.match(self.text, at, end)
            assert match is not None  # every character begins one of the alternatives
            group, raw = match.lastgroup, match[0]
            if group == "space":
                head.append(self.token(Kind.SPACE, raw, at))
            elif group == "plain" and raw.isascii():  # nearly every word
                head.append(Token(Kind.WORD, raw, raw, self.file, at, self.line, at - self.line_start + 1))
            else:
                head.append(self.token(Kind.WORD, raw, at, _value(match)))
            at += len(raw)
        return tuple(head), tuple([token for token in head if token.kind is Kind.WORD])

    def open(self, at: int, end: int) -> None:
        """Open a block; a line that does not end it well, or too deep a one, is a loose token."""
        name = _NAME.match(self.text, at + 1, end)
        if name is None or not self.text[at:end].endswith(">") or name.end() >= end or len(self.stack) >= MAX_DEPTH:
            token = self.span(Kind.STRAY, at, end)
            self.items.append(token)
            self.problem(f"{token.raw[:80]} directive missing closing '>'", token)
            return
        mark = self.span(Kind.MARK, at, at + 1)
        first = self.span(Kind.WORD, at + 1, name.end(), decode(name[0]))
        rest, words = self.words(name.end(), end - 1)
        self.stack.append(((mark, first, *rest, self.span(Kind.MARK, end - 1, end)), (first, *words), self.items))
        self.items = []

    def close(self, at: int, end: int) -> None:
        """Close the innermost block of that name."""
        token = self.span(Kind.MARK, at, end)
        name = token.raw[2:].rstrip(">").strip().lower()
        if not any(words[0].value.lower() == name for _, words, _ in self.stack):
            self.items.append(Token(Kind.STRAY, token.raw, "", token.file, token.start, token.line, token.column))
            self.problem(f"{token.raw[:80]} without matching <{name[:80]}> section", token)
            return
        while self.stack[-1][1][0].value.lower() != name:
            self.problem(f"<{self.stack[-1][1][0].value}> was not closed.", self.stack[-1][1][0])
            self.pop(())
        self.pop((token,))

    def pop(self, tail: tuple[Token, ...]) -> None:
        head, words, outer = self.stack.pop()
        outer.append(Node(head, words, tuple(self.items), tail))
        self.items = outer


def _value(match: re.Match[str]) -> str:
    """Return the value of a word, without its quotes, escapes and joined lines."""
    raw = match[0]
    if "\\" in raw:
        raw = _JOINED.sub("", raw)
    if not match["quoted"]:
        return decode(raw)
    inside = raw[1:-1] if len(raw) > 1 and raw[-1] == raw[0] else raw[1:]
    return decode(_ESCAPED.sub(r"\1", inside))


def quote(word: str) -> str:
    """Return the word quoted so that a configuration reads it back unchanged."""
    if word and not re.search(r"""[\s"'\\<>]""", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
