"""Changes of a configuration, each of the fewest bytes: from a tree and a place to an Edit with its diff. Nothing is written.

New text is given as it is to stand in the file. Places are those that routes, peers and settings carry (`Route.at`…).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from why502.config.tree import Node, Tree, node_at, text
from why502.model.config import Position
from why502.model.errors import Why502Error
from why502.model.remedy import Edit

_CONTEXT = 3


def replace_argument(tree: Tree, at: Position, index: int, value: str) -> Edit:
    """Return the change of one argument, counted from 1, of the directive at that place. Raises Why502Error if it has none."""
    words = node_at(tree, at).words
    if not 0 < index < len(words):
        raise Why502Error(f"{at}: {words[0].value} has no argument {index}")
    return replace(tree, words[index].start, words[index].end, value)


def replace_directive(tree: Tree, at: Position, line: str) -> Edit:
    """Return the change of a whole directive (`proxy_pass http://127.0.0.1:3000;`), of a block's head with its brace."""
    node = node_at(tree, at)
    return replace(tree, node.start, node.head[-1].end, line)


def add_argument(tree: Tree, at: Position, value: str) -> Edit:
    """Return the addition of a further argument (`down`) to the directive at that place."""
    last = node_at(tree, at).words[-1]
    return replace(tree, last.end, last.end, f" {value}")


def insert_after(tree: Tree, at: Position, line: str) -> Edit:
    """Return the addition of a directive behind the one at that place, on a line of its own where that one has one."""
    return _insert_after(tree, node_at(tree, at), line)


def insert_before(tree: Tree, at: Position, line: str) -> Edit:
    """Return the addition of a directive before the one at that place, on a line of its own with the same indent."""
    node, content = node_at(tree, at), text(tree)
    return replace(tree, node.start, node.start, f"{line}{_newline(content)}{_indent(content, node.start)}")


def insert(tree: Tree, into: Position, line: str) -> Edit:
    """Return the addition of a directive at the end of the block at that place. Raises Why502Error where none is."""
    block = node_at(tree, into)
    if block.body is None:
        raise Why502Error(f"{into}: {block.name} is no block")
    if children := list(block.children):
        return _insert_after(tree, children[-1], line)
    content = text(tree)
    place = _line_end(content, block.head[-1].end)
    if place is None:
        return replace(tree, block.head[-1].end, block.head[-1].end, f" {line} ")
    indent = _indent(content, block.start)
    deeper = indent + ("\t" if "\t" in indent else "    ")
    return replace(tree, place, place, f"{_newline(content)}{deeper}{line}")


def set_directive(tree: Tree, into: Position, name: str, value: str) -> Edit:
    """Return what makes `name value;` hold in a block: the change of the directive that it has itself, or the addition."""
    own = [child for child in node_at(tree, into).children if child.name == name]
    if own:
        return replace(tree, own[-1].start, own[-1].head[-1].end, f"{name} {value};")
    return insert(tree, into, f"{name} {value};")


def remove(tree: Tree, at: Position) -> Edit:
    """Return the removal of a directive, with its block and its line where nothing else stands on it."""
    node = node_at(tree, at)
    content = text(tree)
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
    """Return the change of the bytes `start` to `end`."""
    content = text(tree)
    encoding = _encoding(content)
    new = after.encode(encoding, "backslashreplace")
    return Edit(
        file=tree.file,
        line=content.count(b"\n", 0, start) + 1,
        start=start,
        end=end,
        before=content[start:end].decode(encoding),
        after=after,
        diff=_diff(tree.file, content, start, end, new),
    )


def apply(content: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the content with all changes made. Raises Why502Error where it is not what they were made for, or they overlap."""
    encoding = _encoding(content)
    out, position = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if edit.start < position:
            raise Why502Error(f"{edit.file}:{edit.line}: two changes of the same place")
        if content[edit.start : edit.end] != edit.before.encode(encoding, "backslashreplace"):
            raise Why502Error(
                f"{edit.file}:{edit.line}: the file was changed since it was read", "Look again, then repeat the fix."
            )
        out += [content[position : edit.start], edit.after.encode(encoding, "backslashreplace")]
        position = edit.end
    return b"".join([*out, content[position:]])


def with_diff(change: Edit, content: bytes) -> Edit:
    """Return the change with its diff, from the file's present content."""
    after = change.after.encode(_encoding(content), "backslashreplace")
    return msgspec.structs.replace(change, diff=_diff(change.file, content, change.start, change.end, after))


def _insert_after(tree: Tree, node: Node, line: str) -> Edit:
    content = text(tree)
    place = _line_end(content, node.end)
    line_start = content.rfind(b"\n", 0, node.start) + 1
    if place is None or content[line_start : node.start].strip():
        return replace(tree, node.end, node.end, f" {line}")
    return replace(tree, place, place, f"{_newline(content)}{_indent(content, node.start)}{line}")


def _line_end(content: bytes, position: int) -> int | None:
    """Return the end of the line where only white space or a comment is left of it; else None."""
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


def _diff(file: str, content: bytes, start: int, end: int, after: bytes) -> str:
    """Return the unified diff of one change: its lines and three around them."""
    first = content.rfind(b"\n", 0, start) + 1
    newline = content.find(b"\n", end)
    is_at_line_start = end > start and content[end - 1 : end] == b"\n" and (not after or after.endswith(b"\n"))
    last = end if is_at_line_start else len(content) if newline < 0 else newline + 1
    encoding = _encoding(content)

    old = _split(content[first:last], encoding)
    new = _split(content[first:start] + after + content[end:last], encoding)
    same = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    number = content.count(b"\n", 0, first) + same
    before = [*_split(content[:first], encoding), *old[:same]][-_CONTEXT:]
    behind = _split(content[last:], encoding, _CONTEXT)
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


def _split(part: bytes, encoding: str, limit: int = -1) -> list[str]:
    """Return the lines of a part, each with its line feed; `limit`: the first so many."""
    pieces = part.split(b"\n", limit) if limit >= 0 else part.split(b"\n")
    lines = [piece + b"\n" for piece in pieces[:-1]]
    if pieces[-1] and not 0 <= limit <= len(lines):
        lines.append(pieces[-1])
    return [line.decode(encoding) for line in lines]
