"""TOML files of settings: read into a type, with the file and the line in each error."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from why502.model.errors import Why502Error
from why502.model.patterns import lazy

T = TypeVar("T")
LIMIT_BYTES = 256 << 10
_SYNTAX = lazy(r"^(.*) \(at line (\d+), column \d+\)$", re.S)  # the messages of tomllib
_STEP = lazy(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_UNKNOWN = lazy(r"^Object contains unknown field `([^`]*)`")


def load(path: Path, kind: type[T]) -> T:
    """Return the settings in a file. Raises Why502Error with the file, the line, and what to do."""
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise Why502Error(
            f"{path}: {(error.strerror or str(error)).lower()}", "Check the path and its permissions, or name another file."
        ) from error
    if len(data) > LIMIT_BYTES:
        raise Why502Error(f"{path}: larger than {LIMIT_BYTES >> 10} KiB", "Check that it is the right file.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Why502Error(f"{path}:{line}: not UTF-8 text", "Save the file as UTF-8.") from error
    return parse(text, kind, str(path))


def parse(text: str, kind: type[T], name: str) -> T:
    """Return the settings in a text; `name` stands for the file in errors. Raises Why502Error."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _SYNTAX.match(str(error))
        message, line = (match[1], int(match[2])) if match else (str(error), _last(text))
        hint = "Correct the line: `key = value`, with text in quotes, below a `[section]` (https://toml.io)."
        raise Why502Error(f"{name}:{line}: {_lower(message)}", hint) from error
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as error:
        message, steps = _placed(str(error))
        if unknown := _UNKNOWN.match(message):
            steps.append(unknown[1])
        raise Why502Error(f"{name}:{_line(text, steps)}: {_described(message, steps)}", _hint(message, kind, steps)) from error


def _placed(message: str) -> tuple[str, list[str | int]]:
    """Return the message of msgspec without the place, and the place as keys and indices."""
    words, _, place = message.rpartition(" - at ")
    place = place.removeprefix("`key` in ")
    if not words or not place.startswith("`$"):
        return message, []
    steps = _STEP.finditer(place.removeprefix("`$").removesuffix("`"))
    return words, [int(step[2]) if step[2] else step[1] for step in steps if step[1] or step[2]]


def _described(message: str, steps: list[str | int]) -> str:
    name = ".".join(str(step) for step in steps if isinstance(step, str))
    if _UNKNOWN.match(message):
        return f"unknown setting {name}"
    if message.startswith("Object missing required field"):
        return f"{name}: the setting {message.rpartition(' ')[2].strip('`')} is missing"
    return f"{name}: {_lower(message)}" if name else _lower(message)


def _hint(message: str, kind: type[Any], steps: list[str | int]) -> str:
    if _UNKNOWN.match(message):
        return f"Settings there: {', '.join(_fields(kind, steps[:-1])) or 'none'}."
    return "Correct the line; the annotated example shows every setting: why502 watch check-config --example."


def _fields(kind: Any, steps: list[str | int]) -> list[str]:
    """Return the names of the settings at a place."""
    for step in steps:
        if isinstance(step, int):
            continue
        kind = next((field.type for field in _settings(kind) if field.encode_name == step), None)
    return [field.encode_name for field in _settings(kind)]


def _settings(kind: Any) -> list[msgspec.structs.FieldInfo]:
    return [field for struct in _structs(kind) for field in msgspec.structs.fields(struct)]


def _structs(kind: Any) -> list[type[msgspec.Struct]]:
    """Return the structs that a type is made of: itself, or those of its items and alternatives."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [one for part in getattr(kind, "__args__", ()) for one in _structs(part)]


def _line(text: str, steps: list[str | int]) -> int:
    """Return the number of the line on which a setting begins.

    tomllib gives no places. So it is asked for the shortest beginning of the text that has the setting: the statement begins
    right after the longest shorter beginning that is a document of its own.
    """
    lines = text.splitlines(keepends=True)
    low, high = 0, len(lines)  # the setting is not in lines[:low]; it is in lines[:high]
    while high - low > 1:
        middle = (low + high) // 2
        whole, tree = _prefix(lines, middle, low)
        if whole == low and middle > low:  # inside one statement: look after it
            after = next((end for end in range(middle + 1, high) if _parsed(lines, end) is not None), high)
            if after == high:
                break
            whole, tree = after, _parsed(lines, after) or {}
        if _has(tree, steps):
            high = whole
        else:
            low = whole
    return min(low + 1, max(1, len(lines)))


def _prefix(lines: list[str], end: int, begin: int) -> tuple[int, dict[str, Any]]:
    """Return the longest document among the first lines, of `begin` to `end` lines, and its content."""
    for count in range(end, begin, -1):
        tree = _parsed(lines, count)
        if tree is not None:
            return count, tree
    return begin, {}


def _parsed(lines: list[str], count: int) -> dict[str, Any] | None:
    try:
        return tomllib.loads("".join(lines[:count]))
    except tomllib.TOMLDecodeError:
        return None


def _has(tree: Any, steps: list[str | int]) -> bool:
    for step in steps:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _last(text: str) -> int:
    return max(1, text.count("\n") + (not text.endswith("\n")))


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
