"""Files that a user sends: kept without a name, in memory or in an unnamed temporary file, until the request is answered.

Their sizes are bounded by the guard, their number here. The name that a client gives is only shown.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from why502.serve.security import Refused
from why502.serve.tools.orders import Content

FILE_BYTES = 64 << 20
MOST_FILES = 8
MOST_FIELDS = 12
FIELD_BYTES = 4 << 20  # of a text that was pasted
_IN_MEMORY = 1 << 20
_LONGEST_NAME = 100
_NOT_IN_A_NAME = re.compile(r"[^\w.@+-]+", re.ASCII)


@dataclass(slots=True)
class Form:
    """What a form had: its fields, and the files of each."""

    fields: FormData

    def text(self, name: str) -> str:
        """Return a field's text; "" if it has none."""
        found = self.fields.get(name)
        return found if isinstance(found, str) else ""

    def texts(self, name: str) -> list[str]:
        """Return the texts of a field that may be given several times."""
        return [found for found in self.fields.getlist(name) if isinstance(found, str)]

    def contents(self, name: str, without: str) -> Iterator[Content]:
        """Yield the files of a field, each with a name of its own; `without` is the name of those that have none."""
        taken: set[str] = set()
        for found in self.fields.getlist(name):
            if isinstance(found, UploadFile) and (found.filename or found.size):
                shown = _unlike(shown_name(found.filename or "", without), taken)
                taken.add(shown)
                yield Content(name=shown, descriptor=found.file.fileno())


@contextlib.asynccontextmanager
async def form(request: Request) -> AsyncIterator[Form]:
    """Give the form of a request, until it is answered. Raises HTTPException (400) for a malformed one."""
    found = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES)
    try:
        yield Form(found)
    finally:
        await found.close()


@contextlib.asynccontextmanager
async def body(request: Request) -> AsyncIterator[IO[bytes]]:
    """Give the body of a request as a file, until it is answered. Raises Refused if it is empty."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        async for part in request.stream():
            file.write(part)
        if not file.tell():
            raise Refused(422, "the body is empty", "Send the content of a file.")
        yield file


def text_file(text: str) -> IO[bytes]:
    """Return a file with a text."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(text.encode("utf-8", "surrogateescape"))
    file.flush()
    return file


def shown_name(name: str, without: str) -> str:
    """Return the last part of a name that a client gave, of plain characters only; `without` if nothing is left of it."""
    last = re.split(r"[/\\]", name)[-1]
    return _NOT_IN_A_NAME.sub("_", last)[-_LONGEST_NAME:].lstrip(".") or without


def _unlike(name: str, taken: set[str]) -> str:
    """Return the name, with a number before it if another file has it."""
    return next(one for one in (name, *(f"{number}-{name}" for number in range(2, MOST_FILES + 2))) if one not in taken)
