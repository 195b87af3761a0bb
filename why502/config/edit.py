"""Minimal edits of a configuration: from a tree and a position to an Edit with its diff. Nothing is written.

New text is given exactly as it will appear in the file. Positions come from routes, peers and settings (`Route.at`…).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property, lru_cache

import msgspec

from why502.config.tree import Node, Tree, nodes, text
from why502.model.config import Position
from why502.model.errors import Why502Error
from why502.model.remedy import UNPLACED, Edit

_CONTEXT = 3


class _Content:
    """The bytes of a file, and the offsets of its lines."""

    def __init__(self, content: bytes) -> None:
        self.bytes = content
        self.encoding = _encoding(content)

    @cached_property
    def starts(self) -> list[int]:
        """The offset at which each line begins."""
        return [0, *(found.end() for found in re.finditer(b"\n", self.bytes))]

    def line(self, offset: int) -> int:
        """Return the number of the line that contains a byte, counted from 0."""
        return bisect_right(self.starts, offset) - 1

    def lines(self, first: int, last: int) -> list[str]:
        """Return the lines from `first` up to but not including `last`."""
        start, end = (self.starts[n] if n < len(self.starts) else len(self.bytes) for n in (first, last))
        return _split(self.bytes[start:end], self.encoding)


class _Source:
    """A tree with cached lookups. Equal only for the same tree object."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def __hash__(self) -> int:
        return id(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Source) and other.tree is self.tree

    @cached_property
    def content(self) -> _Content:
        return _Content(text(self.tree))

    @cached_property
    def nodes(self) -> dict[int, Node]:
        """The directives by the offset of their first word."""
        return {node.words[0].start: node for node in nodes(self.tree)}

    def node_at(self, at: Position) -> Node:
        """Return the directive that begins at that byte. Raises Why502Error if there is none."""
        if at.start not in self.nodes:
            raise Why502Error(f"{at}: no directive begins at byte {at.start}", "The file was changed since it was read.")
        return self.nodes[at.start]


@lru_cache(maxsize=8)
def _kept(source: _Source) -> _Source:
    return source


def _source(tree: Tree) -> _Source:
    return _kept(_Source(tree))


def replace_argument(tree: Tree, at: Position, index: int, value: str) -> Edit:
    """Return an edit that changes argument number `index` (from 1) of a directive. Raises Why502Error if it does not exist."""
    words = _source(tree).node_at(at).words
    if not 0 < index < len(words):
        raise Why502Error(f"{at}: {words[0].value} has no argument {index}")
    return replace(tree, words[index].start, words[index].end, value)


def replace_directive(tree: Tree, at: Position, line: str) -> Edit:
    """Return an edit that replaces a whole directive (`proxy_pass http://127.0.0.1:3000;`), or a block's header with its
    brace.
    """
    node = _source(tree).node_at(at)
    return replace(tree, node.start, node.head[-1].end, line)


def aligned(tree: Tree, at: Position, lines: Iterable[str]) -> str:
    """Return directives to replace the one at a position: one below the other if it has a line of its own."""
    node, content = _source(tree).node_at(at), _source(tree).content.bytes
    line_start = content.rfind(b"\n", 0, node.start) + 1
    is_alone = not content[line_start : node.start].strip()
    return (_newline(content) + _indent(content, node.start) if is_alone else " ").join(lines)


def add_argument(tree: Tree, at: Position, value: str) -> Edit:
    """Return an edit that adds an argument (`down`) to a directive."""
    last = _source(tree).node_at(at).words[-1]
    return replace(tree, last.end, last.end, f" {value}")


def insert_after(tree: Tree, at: Position, line: str) -> Edit:
    """Return an edit that adds a directive after another, on a new line if that one has its own line."""
    return _insert_after(tree, _source(tree).node_at(at), line)


def insert_before(tree: Tree, at: Position, line: str) -> Edit:
    """Return an edit that adds a directive before another, on a new line with the same indent if that one has its own line."""
    node, content = _source(tree).node_at(at), text(tree)
    return replace(tree, node.start, node.start, f"{line}{_newline(content)}{_indent(content, node.start)}")


def insert(tree: Tree, into: Position, line: str) -> Edit:
    """Return an edit that adds a directive at the end of a block. Raises Why502Error if there is no block."""
    block = _source(tree).node_at(into)
    if block.body is None:
        raise Why502Error(f"{into}: {block.name} is not a block")
    if children := list(block.children):
        return _insert_after(tree, children[-1], line)
    content = _source(tree).content.bytes
    place = _line_end(content, block.head[-1].end)
    if place is None:
        return replace(tree, block.head[-1].end, block.head[-1].end, f" {line} ")
    indent = _indent(content, block.start)
    deeper = indent + ("\t" if "\t" in indent else "    ")
    return replace(tree, place, place, f"{_newline(content)}{deeper}{line}")


def set_directive(tree: Tree, into: Position, name: str, value: str) -> Edit:
    """Return an edit that sets `name value;` in a block: it changes the block's own directive, or adds one."""
    own = [child for child in _source(tree).node_at(into).children if child.name == name]
    if own:
        return replace(tree, own[-1].start, own[-1].head[-1].end, f"{name} {value};")
    return insert(tree, into, f"{name} {value};")


def remove(tree: Tree, at: Position) -> Edit:
    """Return an edit that removes a directive with its block, and its line if nothing else is on it."""
    node = _source(tree).node_at(at)
    content = _source(tree).content.bytes
    start, end = node.start, node.end
    line_start = content.rfind(b"\n", 0, start) + 1
    newline = content.find(b"\n", end)
    line_end = len(content) if newline < 0 else newline + 1
    if not content[line_start:start].strip() and not content[end:line_end].strip():
        return replace(tree, line_start, line_end, "")
    while start > line_start and content[start - 1 : start] in (b" ", b"\t"):
        start -= 1
    return replace(tree, start, end, "")


def replace(tree: Tree, start: int, end: int, after: str) -> Edit:
    """Return an edit of the bytes `start` to `end`."""
    source = _source(tree).content
    content, encoding = source.bytes, source.encoding
    new = after.encode(encoding, "backslashreplace")
    return Edit(
        file=tree.file,
        line=source.line(start) + 1,
        start=start,
        end=end,
        before=content[start:end].decode(encoding),
        after=after,
        diff=_diff(tree.file, source, start, end, new),
    )


def apply(content: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the content with all edits applied. Raises Why502Error if the content does not match the edits, or they overlap."""
    encoding = _encoding(content)
    out, position = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise Why502Error(f"{edit.file}:{edit.line}: two changes at the same position")
        if content[edit.start : edit.end] != edit.before.encode(encoding, "backslashreplace"):
            raise Why502Error(
                f"{edit.file}:{edit.line}: the file was changed since it was read",
                "Run the diagnosis again, then repeat the fix.",
            )
        out += [content[position : edit.start], edit.after.encode(encoding, "backslashreplace")]
        position = edit.end
    return b"".join([*out, content[position:]])


def placed(change: Edit, content: bytes) -> Edit:
    """Return the edit with its position looked up if necessary. Raises Why502Error if the text does not occur exactly once."""
    if change.start != UNPLACED:
        return change
    lines = content.splitlines(keepends=True)
    line = lines[change.line - 1].partition(b"#")[0] if change.line <= len(lines) else b""
    found = _words(change.before, line)
    if not found and (part := _part_that_differs(change)) is not None and len(_words(part.before, line)) == 1:
        change, found = part, _words(part.before, line)  # lighttpd: "host" => "127.0.0.1", "port" => 3000
    if len(found) != 1:
        raise Why502Error(
            f"{change.file}:{change.line}: {change.before!r} occurs {len(found)} times in that line",
            "Run the diagnosis again, or edit it manually.",
        )
    change = _behind_its_quote(change, line, found[0])
    start = sum(map(len, lines[: change.line - 1])) + found[0]
    return msgspec.structs.replace(change, start=start, end=start + len(change.before.encode()))


def _behind_its_quote(change: Edit, line: bytes, start: int) -> Edit:
    """Return the edit so that words which it adds behind a quoted word are not inside of the quotes."""
    end = start + len(change.before.encode())
    quote = line[end : end + 1].decode("latin-1")
    if not change.after.startswith(f"{change.before} ") or quote not in ('"', "'") or line[start - 1 : start] != quote.encode():
        return change
    added = change.after.removeprefix(change.before)
    return msgspec.structs.replace(change, before=f"{change.before}{quote}", after=f"{change.before}{quote}{added}")


def _words(text: str, line: bytes) -> list[int]:
    """Return where a text begins in a line, as a word or several."""
    return [match.start() for match in re.finditer(rb"(?<![\w.:-])" + re.escape(text.encode()) + rb"(?![\w.:-])", line)]


def _part_that_differs(change: Edit) -> Edit | None:
    """Return the edit of only the host or only the port of an address, for lines that have them apart; None if both differ."""
    (old, _, old_port), (new, _, new_port) = change.before.rpartition(":"), change.after.rpartition(":")
    if not (old and new and old_port.isdigit() and new_port.isdigit()):
        return None
    if old == new:
        return msgspec.structs.replace(change, before=old_port, after=new_port)
    if old_port == new_port:
        return msgspec.structs.replace(change, before=old.strip("[]"), after=new.strip("[]"))
    return None


def with_diff(change: Edit, content: bytes) -> Edit:
    """Return the edit with its position and diff, for the file's present content. Raises Why502Error."""
    change = placed(change, content)
    after = change.after.encode(_encoding(content), "backslashreplace")
    return msgspec.structs.replace(change, diff=_diff(change.file, _Content(content), change.start, change.end, after))


def _insert_after(tree: Tree, node: Node, line: str) -> Edit:
    content = _source(tree).content.bytes
    place = _line_end(content, node.end)
    line_start = content.rfind(b"\n", 0, node.start) + 1
    if place is None or content[line_start : node.start].strip():
        return replace(tree, node.end, node.end, f" {line}")
    return replace(tree, place, place, f"{_newline(content)}{_indent(content, node.start)}{line}")


def _line_end(content: bytes, position: int) -> int | None:
    """Return the end of the line if only white space or a comment follows; else None."""
    end = content.find(b"\n", position)
    end = len(content) if end < 0 else end
    if content[position:end].endswith(b"\r"):
        end -= 1
    rest = content[position:end].strip()
    return end if not rest or rest.startswith(b"#") else None


def _indent(content: bytes, position: int) -> str:
    start = content.rfind(b"\n", 0, position) + 1
    line = content[start:position]
    return line[: len(line) - len(line.lstrip(b" \t"))].decode("ascii")


def _newline(content: bytes) -> str:
    first = content.find(b"\n")
    return "\r\n" if first > 0 and content[first - 1 : first] == b"\r" else "\n"


def _encoding(content: bytes) -> str:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _diff(file: str, source: _Content, start: int, end: int, after: bytes) -> str:
    """Return the unified diff of one edit, with three lines of context."""
    content, encoding = source.bytes, source.encoding
    number = source.line(start)
    first = source.starts[number]
    newline = content.find(b"\n", end)
    is_at_line_start = end > start and content[end - 1 : end] == b"\n" and (not after or after.endswith(b"\n"))
    last = end if is_at_line_start else len(content) if newline < 0 else newline + 1

    old = _split(content[first:last], encoding)
    new = _split(content[first:start] + after + content[end:last], encoding)
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    before = [*source.lines(max(0, number - _CONTEXT), number), *old[:same]][-_CONTEXT:]
    behind = source.lines(source.line(last), source.line(last) + _CONTEXT) if last < len(content) else []
    number += same
    old, new = old[same:], new[same:]
    top = number - len(before)
    old_count, new_count = (len(before) + len(part) + len(behind) for part in (old, new))
    out = [
        f"--- {file}\n+++ {file}\n",
        f"@@ -{top + (1 if old_count else 0)},{old_count} +{top + (1 if new_count else 0)},{new_count} @@\n",
    ]
    marked = [(" ", before), ("-", old), ("+", new), (" ", behind)]
    for mark, part in marked:
        out.extend(mark + (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n") for line in part)
    return "".join(out)


def _split(part: bytes, encoding: str) -> list[str]:
    """Return the lines of a part, each with its line feed."""
    pieces = part.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]]
    if pieces[-1]:
        lines.append(pieces[-1])
    return [line.decode(encoding) for line in lines]
