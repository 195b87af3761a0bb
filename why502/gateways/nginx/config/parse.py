"""nginx's configuration language: text ⇄ lossless tree.

Words, quotes, escapes and error messages follow `ngx_conf_read_token` (src/core/ngx_conf_file.c). The bodies of `map`, `geo`,
`types` and the like are read as directives. A `*_by_lua_block` body is one opaque token; its end is found as in
lua-nginx-module's own lexer. Unknown directives are accepted. Where nginx would stop, the parser records the problem and
continues, so that the tree always holds the whole file.
"""

from __future__ import annotations

import re

from why502.config.token_reader import TokenReader
from why502.config.tree import Kind, Node, Token, Tree, decode
from why502.gateways.nginx.config.lua import Lua
from why502.model.patterns import lazy

MAX_DEPTH = 200  # blocks within blocks; deeper ones are kept as loose tokens
MAX_PROBLEMS = 50
MAX_WORD = 4096  # NGX_CONF_BUFFER: longer words and comments are refused

_WORD, _SPACE, _MARK = Kind.WORD, Kind.SPACE, Kind.MARK  # each is looked up for every token
_TOKEN = lazy(
    r"""(?P<space>[ \t\r\n]++)
    |(?P<comment>\#[^\n]*+)
    |(?P<mark>[;{}])
    |(?P<quoted>"(?:[^"\\]++|\\.)*+" | '(?:[^'\\]++|\\.)*+')
    |(?P<open>["'].*+)
    |(?P<word>(?:\\(?:.|\Z)|\$\{*+|[^ \t\r\n;{}\#"'\\$])(?:\\(?:.|\Z)|\$\{*+|[^ \t\r\n;{\\$]++)*+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = lazy(r"\\([\"'\\trn])")
_ESCAPED = {"t": "\t", "r": "\r", "n": "\n"}

_BOM = "\xef\xbb\xbf"


def parse(content: bytes, file: str) -> Tree:
    """Return the tree of any bytes."""
    return _Reader(content.decode("latin-1"), file).read()


def quote(word: str) -> str:
    """Return the word quoted so that a configuration reads it back unchanged."""
    if word and _TOKEN.fullmatch(word) and not re.search(r"""[\s;{}#"'\\]""", word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _value(raw: str) -> str:
    """Return the value of a word, without its quotes."""
    if "\\" in raw:
        raw = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), raw)
    return decode(raw)


class _Reader(TokenReader):
    """Reads one text. The stack holds, for each open block, the head of its directive and the items read so far."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text, file, MAX_PROBLEMS)
        self.items: list[Node | Token] = []
        self.stack: list[tuple[tuple[Token, ...], tuple[Token, ...], list[Node | Token]]] = []
        self.head: list[Token] = []
        self.words: list[Token] = []
        self.code = Lua(text)
        self.loose = 0  # open blocks beyond MAX_DEPTH
        self.seen: dict[str, str] = {}  # one object per distinct text saves a third of the memory

    def read(self) -> Tree:
        position = 0
        if self.text.startswith(_BOM):
            self.items.append(self.token(Kind.STRAY, _BOM, 0))
            self.problem("the file begins with a byte order mark, which nginx treats as part of the first word", self.items[0])
            position = len(_BOM)
        while position < len(self.text):
            position = self.up_to_code(position)
        self.finish()
        return Tree(file=self.file, items=tuple(self.items), problems=tuple(self.problems))

    def up_to_code(self, position: int) -> int:
        """Read up to the end of the text or of the next block of code; return the offset after it."""
        text, file, once = self.text, self.file, self.seen.setdefault
        after_quote = False
        for match in _TOKEN.finditer(text, position):  # every character starts one of the alternatives: there are no gaps
            group, raw = match.lastgroup, match[0]
            raw = once(raw, raw)
            if (
                group == "word" and not after_quote and raw.isascii() and "\\" not in raw and len(raw) < MAX_WORD
            ):  # nearly every word
                token = Token(_WORD, raw, raw, file, position, self.line, position - self.line_start + 1)
                self.words.append(token)
                self.head.append(token)
                position += len(raw)
                continue
            if raw == " ":  # nearly every space
                token = Token(_SPACE, raw, "", file, position, self.line, position - self.line_start + 1)
                (self.head if self.words else self.items).append(token)
                position += 1
                after_quote = False
                continue
            token = self.token_of(group, raw, position)
            position += len(raw)
            if after_quote and group in ("word", "quoted", "open", "comment") and raw[0] != ")":
                self.problem(f'unexpected "{raw[0] if raw.isascii() else decode(raw)[0]}"', token)
            after_quote = group == "quoted"
            if token.kind is _WORD:
                self.words.append(token)
                self.head.append(token)
            elif token.kind is not _MARK:
                (self.head if self.words else self.items).append(token)
            elif raw == ";":
                self.end(token)
            elif raw == "}":
                self.close(token)
            elif self.open(token):
                return self.lua(position)
        return position

    def token_of(self, group: str | None, raw: str, start: int) -> Token:
        if group == "space":
            return self.token(_SPACE, raw, start)
        if group == "mark":
            return Token(_MARK, raw, "", self.file, start, self.line, start - self.line_start + 1)
        inside = raw[1:-1] if group == "quoted" else raw[1:] if group == "open" else raw
        token = self.token(Kind.COMMENT, raw, start) if group == "comment" else self.token(Kind.WORD, raw, start, _value(inside))
        if len(inside) >= MAX_WORD and start + len(raw) - len(inside) + MAX_WORD < len(self.text):
            is_bare = inside is raw
            self.problem(
                f'too long parameter "{decode(raw[:10])}..." started'
                if is_bare
                else f'too long parameter, probably missing terminating "{raw[0]}" character',
                token,
            )
        return token

    def end(self, mark: Token) -> None:
        """End a directive at its semicolon."""
        if not self.words:
            self.stray(mark)
            return
        self.items.append(Node((*self.head, mark), tuple(self.words)))
        self.head, self.words = [], []

    def open(self, mark: Token) -> bool:
        """Open a block; True if it contains a foreign language."""
        if not self.words:
            self.stray(mark)
            self.loose += 1 if self.loose else 0
            return False
        if self.loose or len(self.stack) >= MAX_DEPTH:
            if not self.loose:
                self.problem("blocks are nested too deeply", mark)
            self.loose += 1
            self.items.extend((*self.head, mark))
            self.head, self.words = [], []
            return False
        self.stack.append(((*self.head, mark), tuple(self.words), self.items))
        self.items, self.head, self.words = [], [], []
        return self.stack[-1][1][0].value.endswith("_by_lua_block")

    def close(self, mark: Token) -> None:
        """Close the innermost block."""
        if self.words:
            self.problem('unexpected "}"', mark)
            self.cut()
        if self.loose:
            self.loose -= 1
            self.items.append(mark)
        elif self.stack:
            self.pop((mark,))
        else:
            self.stray(mark)

    def pop(self, tail: tuple[Token, ...]) -> None:
        head, words, outer = self.stack.pop()
        outer.append(Node(head, words, tuple(self.items), tail))
        self.items = outer

    def cut(self) -> None:
        """Create a directive from words without a terminator, excluding trailing white space and comments."""
        last = max(i for i, token in enumerate(self.head) if token.kind is Kind.WORD) + 1
        self.items.append(Node(tuple(self.head[:last]), tuple(self.words)))
        self.items.extend(self.head[last:])
        self.head, self.words = [], []

    def stray(self, mark: Token) -> None:
        self.problem(f'unexpected "{mark.raw}"', mark)
        self.items.append(Token(Kind.STRAY, mark.raw, "", mark.file, mark.start, mark.line, mark.column))

    def lua(self, position: int) -> int:
        """Read the Lua code up to the brace that closes its block; return the offset of that brace."""
        end = self.code.end(position)
        if end > position:
            self.items.append(self.token(Kind.CODE, self.text[position:end], position))
        return end

    def finish(self) -> None:
        """Close all open blocks at the end of the file."""
        last = Token(Kind.SPACE, "", "", self.file, len(self.text), self.line, len(self.text) - self.line_start + 1)
        if self.words:
            self.problem('unexpected end of file, expecting ";" or "}"', last)
            self.cut()
        elif self.stack:
            self.problem('unexpected end of file, expecting "}"', last)
        while self.stack:
            self.pop(())
