"""Directives of nginx, chosen for one version by the linter's own table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from why502.gateways.nginx.config.defaults import NEWEST, Version
from why502.gateways.nginx.directives import table
from why502.generate.safe import NOTHING, Safe, comment, nginx
from why502.model.errors import Why502Error

OLDEST = (1, 18, 0)  # the oldest that distributions still support, and the oldest that the emitter is tested for


@dataclass(frozen=True, slots=True)
class Line:
    """One directive with the reason for it; "" where the directive says all."""

    text: Safe
    reason: Safe = NOTHING

    @property
    def ended(self) -> Safe:
        """The directive with the sign that ends it; a block has none."""
        return self.text if self.text.endswith("}") else Safe(f"{self.text};")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of lines: a location, a map."""

    head: Safe
    lines: tuple[Line, ...]
    reason: Safe = NOTHING


@dataclass(frozen=True, slots=True)
class Dialect:
    """The language of one version. `text` is how people write it."""

    text: str
    has_comments: bool = True

    @property
    def version(self) -> Version:
        """The version as numbers."""
        return tuple(int(part) for part in (self.text or NEWEST).split("."))

    def since(self, *version: int) -> bool:
        """Return whether it is that version or a newer one."""
        return self.version >= version

    def knows(self, name: str) -> bool:
        """Return whether this version's own modules have a directive that has an effect."""
        known = table().get(name)
        if known is None:
            return False
        gone = [version for version in (known.removed, known.obsolete) if version]
        return self.version >= known.since and not any(self.version >= version for version in gone)

    def line(self, name: str, *words: str | int, reason: str = "") -> Iterator[Line]:
        """Yield the directive; nothing if this version does not have it."""
        if self.knows(name):
            text = " ".join((name, *(word if isinstance(word, Safe) else nginx(word) for word in words)))
            yield Line(Safe(text), self.remark(reason))

    def own(self, text: str, reason: str = "") -> Line:
        """Return a directive that the emitter wrote itself."""
        return Line(Safe(text), self.remark(reason))

    def remark(self, reason: str) -> Safe:
        """Return a reason as a comment."""
        return comment(reason) if self.has_comments else Safe("")


def dialect(version: str, *, has_comments: bool = True) -> Dialect:
    """Return the language of a version; that of the newest for "". Raises Why502Error for one that is not known."""
    made = Dialect(version or NEWEST, has_comments)
    newest = tuple(int(part) for part in NEWEST.split("."))
    if made.version[:2] > newest[:2] or made.version < OLDEST:
        raise Why502Error(
            f"--nginx-version {version} is not supported",
            f"Give a version from {'.'.join(map(str, OLDEST))} to {NEWEST}, or `newest`.",
        )
    return made
