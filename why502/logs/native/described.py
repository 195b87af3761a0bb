"""Layout descriptions for the compiled reader: with them a gateway's package specifies where the values in its lines are.

A description need not match every line: the gateway's own parser handles the rest. The meaning of a line is never described.
`asks` are questions about its values, and lines with the same answers (and status) are counted together. The gateway's parser
interprets the first of them and one later line, and both must have the same meaning. So the questions must distinguish every case
that the parser distinguishes. A description is compared with that parser before it is used (`_reader` in
why502/logs/scan/part.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from why502.logs.coded import target
from why502.logs.native import roles
from why502.logs.pairing import Pairing
from why502.model.logs import LogRecord
from why502.model.patterns import lazy

_PLACE = lazy(r"\{(\w+|[#*])\}")


def address_of(text: str, like: LogRecord) -> str:  # noqa: ARG001 - names are made alike
    """Return the address in a gateway's text for a target."""
    found = target(text)
    return str(found) if found is not None else ""


def as_it_is(address: str, like: LogRecord) -> str:  # noqa: ARG001 - names are made alike
    """Return the name unchanged."""
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """An optional value after a message: `begin` is the text before it, `end` the byte after it, "" for none."""

    name: str
    begin: str
    end: str = ""
    is_needed: bool = False  # required if any other tail is present


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The properties common to all descriptions.

    `clock` is the time format (src/program.rs); "" for lines without a time, which have that of their wrapper. `units` maps a
    role to its unit in nanoseconds (default: seconds). `where` builds a target's name from an address and the record of a line
    that ended the same way. `asks`, and `asks_of_failures` for failed requests only, hold questions: kind and role (`Question` in
    src/program.rs) plus any arguments.

    `flags`: `said` (lines are not requests), `port` and `brackets` (clients have them), `summed` (the times of an attempt are
    those of its steps), `escaped` (a quote after a backslash does not end a value), `grouped` (a line without an address names a
    group, or nothing), `numeric` (lines with host names are left to Python), `url` (the URI may be absolute), `fine` (see
    `other`), `short` (a status may have one digit), `nought` (no response takes 0), `protocol` (requests have one), `clients`
    (lines have one), `named` (targets may have names), `entries` (a line that does not start like the others continues the
    previous one).
    """

    clock: str
    units: Mapping[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    asks_of_failures: tuple[str, ...] = ()
    where: Callable[[str, LogRecord], str] = as_it_is
    strips: str = ""  # may end a server's name without being part of it
    expects: Mapping[str, str] = field(default_factory=dict)  # required start of a value, by role
    checks: Sequence[str] = ()  # what values must be: `without client []`, `around address /`, `integer total`…
    same: Mapping[str, str] = field(default_factory=dict)  # roles whose value equals that of another role
    suffixes: Mapping[str, str] = field(default_factory=dict)  # text that ends a value without being part of it
    after: Mapping[str, str] = field(default_factory=dict)  # a value starts after the last of these bytes
    pairing: Callable[[LogRecord], Pairing] | None = None  # of lines that may repeat others of their thread (`{thread}`)
    also: tuple[Described, ...] = ()  # descriptions for lines that do not match this one

    def program(self, wrapper: Iterable[str] = (), clock: str = "") -> list[str]:
        """Return the program for the compiled reader; [] if the lines have no time.

        `wrapper` describes how to remove the wrapper of each line, `clock` is the wrapper's time format, "" if it has none.
        """
        used = self.clock or clock
        found = [*wrapper, f"clock {used}", *([] if self.clock else ["stamped"]), *self.common(), *self.values()] if used else []
        for one in self.also:
            program = one.program(wrapper, clock)
            found += ["next", *program] if found and program else program
        return found

    def values(self) -> list[str]:
        """Return the part of the program that locates the values."""
        raise NotImplementedError

    def common(self) -> list[str]:
        """Return the part of the program that does not depend on the position of values."""
        number = roles.BY_NAME
        found = [*self.flags]
        found += [f"unit {number[name]} {unit}" for name, unit in self.units.items()]
        found += [f"strips {hexadecimal(self.strips)}"] if self.strips else []
        for word, values in (("expects", self.expects), ("suffix", self.suffixes), ("after", self.after)):
            found += [f"{word} {number[name]} {hexadecimal(text)}" for name, text in values.items()]
        found += [_check(one) for one in self.checks]
        found += [f"same {number[name]} {number[other]}" for name, other in self.same.items()]
        for word, asks in (("ask", self.asks), ("ask-failure", self.asks_of_failures)):
            found += [f"{word} {_question(one)}" for one in asks]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Text(Described):
    """A line of text, described by `template`.

    The template has the role of each value in braces; `{_}` is a value that is ignored, `{*}` one in which the text after it may
    begin (its writer does not escape it), `{#}` a number, `{word}` a word. `tails`: the values that may follow the last value,
    which is a message. `is_time_spaced`: its time contains a space.
    """

    template: str
    tails: tuple[Tail, ...] = ()
    is_time_spaced: bool = False

    def values(self) -> list[str]:
        """Return the part of the program that locates the values."""
        begin, *rest = _PLACE.split(self.template)
        found, before = [f"begin {hexadecimal(begin)}"], begin
        for name, literal in zip(rest[::2], rest[1::2], strict=True):
            role = roles.BY_NAME.get(name, 0)
            is_far = name == "*" or (role == roles.TIME and self.is_time_spaced)
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

    A line in which one of the `foreign` members is set is left to Python.
    """

    members: Mapping[str, str]
    foreign: tuple[str, ...] = ()

    def values(self) -> list[str]:
        """Return the part of the program that locates the values."""
        paths = [(path.split("."), roles.BY_NAME[name]) for path, name in self.members.items()]
        paths += [([name], roles.FOREIGN) for name in self.foreign]
        return [f"member {role} {' '.join(map(hexadecimal, path))}" for path, role in paths]


_TEXTS = frozenset({"oneof", "begins", "template", "sentence"})  # kinds of questions that require texts


def _check(check: str) -> str:
    kind, name, *texts = check.split(" ")
    return " ".join(("check", str(roles.BY_NAME[name]), kind, *map(hexadecimal, texts)))


def _question(ask: str) -> str:
    """Return a question with its role as a number, `text key` or `bands total 9500000`; texts are separated by `|`."""
    kind, name, *more = ask.split(" ", 2)
    if kind in _TEXTS:
        more = [" ".join(hexadecimal(text) for text in more[0].split("|"))] if more else []
    elif kind in ("same", "within"):
        more = [str(roles.BY_NAME[more[0]])]
    return " ".join((kind, str(roles.BY_NAME[name]), *more)).rstrip(" ")


def hexadecimal(text: str) -> str:
    """Return the bytes of a text in hexadecimal, as a program contains them."""
    return text.encode("utf-8", "surrogateescape").hex()


def columns(names: Iterable[str], known: Mapping[str, str], *, between: str, clock: str, units: Mapping[str, int]) -> Text:
    """Return the description of lines with values in the order of their names, and a text between two of them.

    The last one ends the line, so that it must be a time, a number or ignored.
    """
    *roles_of, last = (known.get(name, "_") for name in names)
    template = between.join(f"{{{role}}}" for role in (*roles_of, "word" if last == "_" else last))
    return Text(template=template, clock=clock, units=units)
