"""Descriptions of layouts for the compiled reader: a gateway's package says with them where the values of its lines stand.

A description need not fit every line: one that it does not fit is left to the gateway's own parser, and so is every request that failed.
Before it is used, it is compared with that parser (`_reader` in why502/logs/scan/part.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from why502.logs.coded import target
from why502.logs.native import roles

_PLACE = re.compile(r"\{(\w+)\}")


def address_of(text: str) -> str:
    """Return the address in what a gateway writes of a target."""
    found = target(text)
    return str(found) if found is not None else ""


def _as_it_is(address: str) -> str:
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What all descriptions tell.

    `clock` is how times are written (src/program.rs), `units` the nanoseconds of one unit of a time by its role, seconds without;
    `where` makes the name of a target of an address. `flags`: `port` (clients have one), `summed` (the times of an attempt are those of
    its steps), `escaped` (a quote behind a backslash does not end a value), `addressed` (lines without an address are left).
    """

    clock: str
    units: Mapping[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    where: Callable[[str], str] = _as_it_is
    strips: str = ""  # what may stand at the end of a server's name and does not belong to it
    expects: Mapping[str, str] = field(default_factory=dict)  # how a value begins, by its role

    def program(self) -> list[str]:
        """Return what the compiled reader is told."""
        raise NotImplementedError

    def common(self) -> list[str]:
        """Return the part of the program that does not depend on where values stand."""
        found = [f"clock {self.clock}", "good", *self.flags]
        found += [f"unit {roles.BY_NAME[name]} {unit}" for name, unit in self.units.items()]
        found += [f"strips {hexadecimal(self.strips)}"] if self.strips else []
        found += [f"expects {roles.BY_NAME[name]} {hexadecimal(text)}" for name, text in self.expects.items()]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Described):
    """A line of text: `template` has the role of each value in braces, `{_}` for one that does not count."""

    template: str

    def program(self) -> list[str]:
        """Return the program."""
        begin, *rest = _PLACE.split(self.template)
        found = [*self.common(), f"begin {hexadecimal(begin)}"]
        for name, literal in zip(rest[::2], rest[1::2], strict=True):
            role = roles.BY_NAME.get(name, 0)
            found.append(f"field {role} {roles.IS_LIST if roles.is_of_attempt(role) else 0} {hexadecimal(literal)}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Members(Described):
    """A line that is a JSON object: the role of each member by its path, `request.uri`."""

    members: Mapping[str, str]

    def program(self) -> list[str]:
        """Return the program."""
        paths = ((path.split("."), roles.BY_NAME[name]) for path, name in self.members.items())
        return [*self.common(), *(f"member {role} {' '.join(map(hexadecimal, path))}" for path, role in paths)]


def hexadecimal(text: str) -> str:
    """Return the bytes of a text as a program has them."""
    return text.encode("utf-8", "surrogateescape").hex()


def columns(names: Iterable[str], known: Mapping[str, str], *, clock: str) -> Text:
    """Return the description of lines whose values tabs part, in the order of their names."""
    return Text(template="\t".join(f"{{{known.get(name, '_')}}}" for name in names), clock=clock)
