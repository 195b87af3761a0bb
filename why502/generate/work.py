"""One call of `why502 generate`: from the options to files, each with its head."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from why502.generate.document import Document, Origin, text
from why502.generate.kind import Kind, Made
from why502.generate.options import Given
from why502.host.base import Host


@dataclass(frozen=True, slots=True)
class File:
    """One file to write: its document, and its whole text with the head."""

    document: Document
    text: str


@dataclass(frozen=True, slots=True)
class Generated:
    """The files of one kind, and what its emitter said."""

    kind: Kind
    made: Made
    files: tuple[File, ...]
    command: tuple[str, ...]


def generate(kind: Kind, given: Given, host: Host, now: datetime) -> Generated:
    """Return the files that the options describe. Raises Why502Error."""
    given.only([option.name for option in kind.options], kind.name)
    made = kind.emit(given, host)
    command = ("why502", "generate", kind.name, *given.words(), *_words(made))
    origin = Origin(made.product, command, now)
    return Generated(kind, made, tuple(File(document, text(document, origin)) for document in made.documents), command)


def _words(made: Made) -> tuple[str, ...]:
    return tuple(word for name, value in made.pinned for word in ((name, value) if value else (name,)))
