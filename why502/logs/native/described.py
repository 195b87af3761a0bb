"""Descriptions of layouts for the compiled reader: a gateway's package says with them where the values of its lines stand.

A description need not fit every line: one that it does not fit is left to the gateway's own parser. What a line means is never described.
`asks` are questions about its values; lines with the same answers (and status) are counted together, and the gateway's parser says of the
first of them what they mean, and of a later one, which must mean the same. So the questions must tell apart whatever that parser tells
apart. Before a description is used, it is compared with that parser (`_reader` in why502/logs/scan/part.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from why502.logs.coded import target
from why502.logs.native import roles
from why502.model.logs import LogRecord
from why502.model.patterns import lazy

_PLACE = lazy(r"\{(\w+|#)\}")


def address_of(text: str, like: LogRecord) -> str:  # noqa: ARG001 - names are made alike
    """Return the address in what a gateway writes of a target."""
    found = target(text)
    return str(found) if found is not None else ""


def as_it_is(address: str, like: LogRecord) -> str:  # noqa: ARG001 - names are made alike
    """Return the name that stands there."""
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A value behind a message, which may be missing: `begin` is the text before it, `end` the one byte behind it, "" for none."""

    name: str
    begin: str
    end: str = ""
    is_needed: bool = False  # where any other is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What all descriptions tell.

    `clock` is how times are written (src/program.rs), `units` the nanoseconds of one unit of a time by its role, seconds without;
    `where` makes the name of a target of an address and the record of a line that ended alike. `asks`, and `asks_of_failures` where
    only requests that failed need it: kind and role of a question (`Question` in src/program.rs) and what else it needs.

    `flags`: `said` (lines are no requests), `port` and `brackets` (clients have them), `summed` (the times of an attempt are those of
    its steps), `escaped` (a quote behind a backslash does not end a value), `grouped` (a line without an address names a group, or
    nobody), `numeric` (names of hosts are left), `url` (the URI may be whole), `fine` (see `other`), `short` (a status may have one
    digit), `nought` (no response takes 0), `protocol` (requests have one), `clients` (so have lines), `named` (targets may have names),
    `entries` (what does not begin as these lines do goes on with the one before).
    """

    clock: str
    units: Mapping[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    asks_of_failures: tuple[str, ...] = ()
    where: Callable[[str, LogRecord], str] = as_it_is
    strips: str = ""  # what may stand at the end of a server's name and does not belong to it
    expects: Mapping[str, str] = field(default_factory=dict)  # how a value begins, by its role
    same: Mapping[str, str] = field(default_factory=dict)  # roles whose value is that of another
    suffixes: Mapping[str, str] = field(default_factory=dict)  # what ends a value and does not belong to it
    after: Mapping[str, str] = field(default_factory=dict)  # a value begins behind the last of these bytes
    also: tuple[Described, ...] = ()  # what reads the lines that this does not fit

    def program(self, wrapper: Iterable[str] = ()) -> list[str]:
        """Return what the compiled reader is told; `wrapper` is how what a line stands in is taken off."""
        found = [*wrapper, *self.common(), *self.values()]
        for one in self.also:
            found += ["next", *one.program(wrapper)]
        return found

    def values(self) -> list[str]:
        """Return the part of the program that says where values stand."""
        raise NotImplementedError

    def common(self) -> list[str]:
        """Return the part of the program that does not depend on where values stand."""
        number = roles.BY_NAME
        found = [f"clock {self.clock}", *self.flags]
        found += [f"unit {number[name]} {unit}" for name, unit in self.units.items()]
        found += [f"strips {hexadecimal(self.strips)}"] if self.strips else []
        for word, values in (("expects", self.expects), ("suffix", self.suffixes), ("after", self.after)):
            found += [f"{word} {number[name]} {hexadecimal(text)}" for name, text in values.items()]
        found += [f"same {number[name]} {number[other]}" for name, other in self.same.items()]
        for word, asks in (("ask", self.asks), ("ask-failure", self.asks_of_failures)):
            found += [f"{word} {_question(one)}" for one in asks]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Described):
    """A line of text: `template` has the role of each value in braces, `{_}` for one that does not count, `{#}` for a number, `{word}` for a word.

    `tails`: what may stand behind the last value, which is a message.
    """

    template: str
    tails: tuple[Tail, ...] = ()

    def values(self) -> list[str]:
        """Return where the values stand."""
        begin, *rest = _PLACE.split(self.template)
        found, before = [f"begin {hexadecimal(begin)}"], begin
        for name, literal in zip(rest[::2], rest[1::2], strict=True):
            role = roles.BY_NAME.get(name, 0)
            is_far = role == roles.TIME and self.clock == "nginx"  # which has a blank in it
            is_word = name == "word" or (name == "_" and literal[:1] == " " and not before.endswith('"'))
            flags = (
                (roles.IS_NUMBER if name == "#" else roles.IS_WORD if is_word else 0)
                | (roles.IS_LIST if roles.is_of_attempt(role) else 0)
                | (roles.IS_FAR if is_far else 0)
            )
            found.append(f"field {role} {flags} {hexadecimal(literal)}")
            before = literal
        for tail in self.tails:
            end = hexadecimal(tail.end) or "0a"
            found.append(f"tail {roles.BY_NAME.get(tail.name, 0)} {end} {hexadecimal(tail.begin)}{' needed' * tail.is_needed}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Members(Described):
    """A line that is a JSON object: the role of each member by its path, `request.uri`.

    A line in which one of the `foreign` members tells something is left.
    """

    members: Mapping[str, str]
    foreign: tuple[str, ...] = ()

    def values(self) -> list[str]:
        """Return where the values stand."""
        paths = [(path.split("."), roles.BY_NAME[name]) for path, name in self.members.items()]
        paths += [([name], roles.FOREIGN) for name in self.foreign]
        return [f"member {role} {' '.join(map(hexadecimal, path))}" for path, role in paths]


_TEXTS = frozenset({"oneof", "begins", "template"})  # kinds of questions that need texts


def _question(ask: str) -> str:
    """Return a question with the number of its role, `text key` or `bands total 9500000`; texts are parted by `|`."""
    kind, name, *more = ask.split(" ", 2)
    if kind in _TEXTS:
        more = [" ".join(hexadecimal(text) for text in more[0].split("|"))] if more else []
    elif kind in ("same", "within"):
        more = [str(roles.BY_NAME[more[0]])]
    return " ".join((kind, str(roles.BY_NAME[name]), *more)).rstrip(" ")


def hexadecimal(text: str) -> str:
    """Return the bytes of a text as a program has them."""
    return text.encode("utf-8", "surrogateescape").hex()


def columns(names: Iterable[str], known: Mapping[str, str], *, clock: str) -> Text:
    """Return the description of lines whose values tabs part, in the order of their names."""
    return Text(template="\t".join(f"{{{known.get(name, '_')}}}" for name in names), clock=clock)
