"""A YAML or JSON text as values with their positions. Any text is accepted: an unreadable one is a problem, not an exception.

The text is read as a stream of events, so its nesting uses no stack: a composer of trees overflows on a deeply nested text.
Values that an alias repeats count each time, so a text whose aliases multiply ends at the limit as well.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from why502.model.config import Position
from why502.model.patterns import lazy
from why502.model.proxy import ConfigProblem

MOST_VALUES = 300_000
DEEPEST = 100
MOST_CHARACTERS = 4 << 20
_NULLS = ("", "~", "null", "Null", "NULL")
_WORD = lazy(r"_([a-z0-9])")
_NUMBER = lazy(r"-?\d{1,15}(?:\.\d{1,9})?")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml, the slower one


@dataclass(frozen=True, slots=True)
class Item:
    """A value: members by name, elements, the text of a scalar (also of a number), or None. `size` counts the values in it."""

    value: Mapping[str, Item] | tuple[Item, ...] | str | None = None
    at: Position | None = None
    size: int = 1

    def __getitem__(self, name: str) -> Item:
        """Return a member, also if its name is written in camelCase; an empty value if there is none.

        The JSON form of protocol buffers allows both spellings.
        """
        if not isinstance(self.value, Mapping):
            return NOTHING
        return self.value.get(name) or self.value.get(_camel(name)) or NOTHING

    def __iter__(self) -> Iterator[Item]:
        """Yield the elements; none if it is not a list."""
        return iter(self.value if isinstance(self.value, tuple) else ())

    def __bool__(self) -> bool:
        """Whether it is set: an empty object is set."""
        return self.value is not None

    def __contains__(self, name: str) -> bool:
        return isinstance(self.value, Mapping) and (name in self.value or _camel(name) in self.value)

    @property
    def members(self) -> Mapping[str, Item]:
        """The members by name; none if it is not an object."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def text(self) -> str:
        """The text of a scalar; "" for any other value."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def number(self) -> float | None:
        """The number that a scalar is; None for any other value."""
        return float(self.value) if isinstance(self.value, str) and _NUMBER.fullmatch(self.value) else None

    @property
    def is_true(self) -> bool:
        """Whether it is the truth value `true`."""
        return self.text.lower() == "true"


NOTHING = Item()


@lru_cache(1024)
def _camel(name: str) -> str:
    return _WORD.sub(lambda match: match[1].upper(), name)


def read(text: str, file: str) -> tuple[Item, tuple[ConfigProblem, ...]]:
    """Return the first document of a text, and what is wrong with it."""
    if len(text) > MOST_CHARACTERS:
        return NOTHING, (ConfigProblem(message=f"it is larger than {MOST_CHARACTERS >> 20} MiB", source="why502"),)
    builder = _Builder(_Places(text, file))
    try:
        return builder.built(yaml.parse(_printable(text), _LOADER)), ()
    except yaml.MarkedYAMLError as error:
        at = Position(file=file, line=error.problem_mark.line + 1) if error.problem_mark else None
        return NOTHING, (ConfigProblem(message=error.problem or "it is not YAML", at=at, source="why502"),)
    except (yaml.YAMLError, ValueError) as error:
        return NOTHING, (ConfigProblem(message=str(error).partition("\n")[0], source="why502"),)


def of_plain(value: object) -> Item:
    """Return a decoded JSON value as an Item without positions. Raises RecursionError for one that is nested too deeply."""
    if isinstance(value, dict):
        members = {str(name): of_plain(each) for name, each in value.items()}
        return Item(members, size=1 + sum(each.size for each in members.values()))
    if isinstance(value, list):
        elements = tuple(map(of_plain, value))
        return Item(elements, size=1 + sum(each.size for each in elements))
    if value is None:
        return NOTHING
    return Item(str(value).lower() if isinstance(value, bool) else str(value))


@dataclass(slots=True)
class _Open:
    """A list or an object that has not ended yet."""

    start: Any
    anchor: str | None
    is_mapping: bool
    elements: list[Item] = field(default_factory=list)  # of an object: names and values in turn


class _Builder:
    """Makes the values from the events of a parser."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._anchors: dict[str, Item] = {}
        self._left = MOST_VALUES

    def built(self, events: Any) -> Item:
        """Return the first document. Raises ValueError beyond the limits, and yaml.YAMLError."""
        stack: list[_Open] = []
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                is_null = not event.style and event.value in _NULLS
                item = Item(None if is_null else event.value, self._places.of(event.start_mark, event.end_mark))
                self._keep(event.anchor, item)
            elif isinstance(event, yaml.AliasEvent):
                item = self._anchors.get(event.anchor or "", NOTHING)
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(stack) >= DEEPEST:
                    raise ValueError(f"it is nested more than {DEEPEST} levels deep")
                stack.append(_Open(event.start_mark, event.anchor, isinstance(event, yaml.MappingStartEvent)))
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                item = self._closed(stack.pop(), event.end_mark)
            else:
                continue
            self._spend(item.size if isinstance(event, yaml.AliasEvent) else 1)
            if not stack:
                return item
            stack[-1].elements.append(item)
        return NOTHING

    def _closed(self, opened: _Open, end: Any) -> Item:
        found = opened.elements
        value: Mapping[str, Item] | tuple[Item, ...] = tuple(found)
        if opened.is_mapping:
            value = {name.text: each for name, each in zip(found[::2], found[1::2], strict=False)}
        item = Item(value, self._places.of(opened.start, end), 1 + sum(each.size for each in found))
        self._keep(opened.anchor, item)
        return item

    def _keep(self, anchor: str | None, item: Item) -> None:
        if anchor:
            self._anchors[anchor] = item

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError(f"it has more than {MOST_VALUES} values")


class _Places:
    """Positions in a file: offsets are bytes, as everywhere."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._offsets = None if text.isascii() else _offsets(text)

    def of(self, start: Any, end: Any) -> Position:
        """Return the position between two marks of the parser."""
        return Position(
            file=self._file,
            line=start.line + 1,
            column=start.column + 1,
            start=self._byte(start.index),
            end=self._byte(end.index),
        )

    def _byte(self, index: int) -> int:
        return index if self._offsets is None else self._offsets[min(index, len(self._offsets) - 1)]


def _offsets(text: str) -> array[int]:
    """Return the offset of each character in bytes, and of the end."""
    found, at = array("L", [0]), 0
    for character in text:
        at += len(character.encode("utf-8", "surrogateescape"))
        found.append(at)
    return found


def _printable(text: str) -> str:
    """Return the text with characters that YAML forbids replaced, one for one."""
    return yaml.reader.Reader.NON_PRINTABLE.sub("?", text)
