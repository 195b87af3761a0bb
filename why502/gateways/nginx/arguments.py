"""The arguments of nginx's own directives: how many, and of which kind.

`arguments.csv` was extracted from the command tables of nginx 1.31.5: name, world (h http, t stream, m mail, E events, M
main), numbers of arguments (`12`: one or two, `1+`: one or more), kind, words, and `block`. A kind stands for nginx's own
setter, which also refuses a directive repeated in one block. Directives with two forms in one world are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources

from why502.gateways.nginx.config import units

_WORLDS = {"stream": "t", "mail": "m", "events": "E"}


class Kind(StrEnum):
    """The type of an argument; ANY if the directive parses it itself."""

    ANY = ""
    FLAG = "flag"
    NUMBER = "number"
    TIME = "time"
    SECONDS = "seconds"
    SIZE = "size"
    BUFFERS = "buffers"
    WORD = "word"
    WORDS = "words"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Form:
    """One directive in one world."""

    counts: str
    kind: Kind
    words: frozenset[str]
    is_block: bool

    @property
    def is_single(self) -> bool:
        """Whether it may occur only once in a block."""
        return self.kind not in (Kind.ANY, Kind.WORDS)

    def takes(self, count: int) -> bool:
        """Return whether it takes that many arguments."""
        if self.counts.endswith("+"):
            return count >= int(self.counts[:-1])
        return str(count) in self.counts

    def is_met(self, args: tuple[str, ...], has_block: bool) -> bool:
        """Return whether a directive has this form; whether a flag is on or off is not looked at."""
        return self.is_block == has_block and self.takes(len(args)) and (self.kind is Kind.FLAG or self.fits(args))

    def fits(self, args: tuple[str, ...]) -> bool:
        """Return whether the arguments have the right kind; those with a variable are not checked."""
        if self.kind is Kind.ANY or not args or any("$" in arg for arg in args):
            return True
        match self.kind:
            case Kind.NUMBER:
                return units.number(args[0]) is not None
            case Kind.TIME:
                return units.time(args[0]) is not None
            case Kind.SECONDS:
                return units.time(args[0]) is not None and not args[0].endswith("ms")
            case Kind.SIZE:
                return units.size(args[0]) is not None
            case Kind.BUFFERS:
                return len(args) == 2 and bool(units.number(args[0])) and bool(units.size(args[1]))
            case Kind.WORD | Kind.WORDS:
                return all(arg.lower() in self.words for arg in args)
        return True


@cache
def table() -> dict[tuple[str, str], Form]:
    """Return the forms by name and world."""
    text = (resources.files("why502.gateways.nginx") / "arguments.csv").read_text("ascii")
    rows = (line.split(",") for line in text.splitlines())
    return {
        (name, world): Form(counts, Kind(kind), frozenset(words.lower().split("|")), is_block == "block")
        for name, world, counts, kind, words, is_block in rows
    }


@lru_cache(1 << 14)
def form(name: str, path: tuple[str, ...]) -> Form | None:
    """Return the form of a directive in a block, given by the names of the enclosing blocks; None if it is unknown."""
    if path:
        return table().get((name, _WORLDS.get(path[0], "h")))
    found = [table()[name, world] for world in "Mht" if (name, world) in table()]
    return found[0] if found and all(other == found[0] for other in found) else None
