"""systemd's unit files: text → entries with their positions.

The syntax is that of systemd.syntax(7): sections, `Key=value`, a backslash at the line's end joins lines, `#` and `;` begin
comments, an empty value clears earlier ones.
"""

from __future__ import annotations

import posixpath
import re
import shlex

from why502.model.base import Value
from why502.model.config import Position
from why502.model.patterns import lazy

_KINDS = (".service", ".socket")  # of the units that serve, or listen for, a target
_SECTION = lazy(r"\[([^\]]+)\]\s*$")
_ENTRY = lazy(r"([A-Za-z][\w-]*)\s*=\s*(.*)", re.DOTALL)


def is_unit_name(name: str) -> bool:
    """Return whether a file has the name of a service or socket unit."""
    return name.endswith(_KINDS)


def is_unit_file(path: str) -> bool:
    """Return whether a file is such a unit, or a drop-in of one by its directory."""
    directory = posixpath.basename(posixpath.dirname(path))
    return is_unit_name(path) or (path.endswith(".conf") and directory.endswith(tuple(f"{kind}.d" for kind in _KINDS)))


class UnitEntry(Value, frozen=True, kw_only=True):
    """One `Key=value`, or with an empty `name` a section header. `at` spans its lines without the last line end."""

    section: str
    name: str
    value: str
    at: Position


class Unit(Value, frozen=True, kw_only=True):
    """A unit file. `name` is the unit's name, also if the file is a drop-in."""

    name: str
    file: str
    entries: tuple[UnitEntry, ...] = ()

    def all(self, name: str, section: str = "Service") -> tuple[UnitEntry, ...]:
        """Return the entries of that name in force: those after the last empty one."""
        found: list[UnitEntry] = []
        for entry in self.entries:
            if entry.name == name and entry.section == section:
                found = [*found, entry] if entry.value else []
        return tuple(found)

    def get(self, name: str, section: str = "Service") -> UnitEntry | None:
        """Return the last entry of that name; None if there is none."""
        return next((entry for entry in reversed(self.entries) if entry.name == name and entry.section == section), None)

    def value(self, name: str, section: str = "Service") -> str:
        """Return the value of the last entry of that name; "" if there is none."""
        entry = self.get(name, section)
        return entry.value if entry else ""

    @property
    def argv(self) -> tuple[str, ...]:
        """The words of its (last) ExecStart, without the prefixes `@-:+!`."""
        found = self.all("ExecStart")
        if not found:
            return ()
        line = found[-1].value.lstrip("@-:+!|")
        try:
            return tuple(shlex.split(line))
        except ValueError:
            return tuple(line.split())


def parse(content: bytes, file: str) -> Unit:
    """Return the unit described by a file. Lines that are neither section nor entry are skipped, as systemd does."""
    entries: list[UnitEntry] = []
    section, start, number = "", 0, 0
    lines = content.splitlines(keepends=True)
    index = 0
    while index < len(lines):
        first, first_start = number + 1, start
        text = ""
        while True:
            line = lines[index]
            index, number, start = index + 1, number + 1, start + len(line)
            raw = line.decode("utf-8", "replace").rstrip("\r\n")
            if text and raw.lstrip()[:1] in ("#", ";"):
                if index < len(lines):
                    continue
                break
            text += raw.removesuffix("\\") + (" " if raw.endswith("\\") else "")
            if not raw.endswith("\\") or index >= len(lines):
                break
        end = start - (len(line) - len(line.rstrip(b"\r\n")))
        at = Position(file=file, line=first, start=first_start, end=end)
        text = text.strip()
        if text[:1] in ("#", ";", ""):
            continue
        if match := _SECTION.match(text):
            section = match[1]
            entries.append(UnitEntry(section=section, name="", value="", at=at))
        elif match := _ENTRY.match(text):
            entries.append(UnitEntry(section=section, name=match[1], value=match[2].strip(), at=at))
    return Unit(name=_name(file), file=file, entries=tuple(entries))


def _name(file: str) -> str:
    parts = file.rsplit("/", 2)
    if len(parts) > 1 and parts[-2].endswith(".d") and parts[-1].endswith(".conf"):
        return parts[-2].removesuffix(".d")
    return parts[-1]
