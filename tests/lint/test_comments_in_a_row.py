"""Comments that suppress findings, thousands in a row: each applies to the line after them, found in one pass."""

from __future__ import annotations

from why502.linter import suppression


class Text(str):
    """A file whose lines count how often they are read."""

    __slots__ = ()

    def split(self, *_: object) -> list[str]:  # type: ignore[override]
        return [Line(line) for line in str.split(self, "\n")]


class Line(str):
    """A line that counts how often it is read."""

    __slots__ = ()
    times_read = 0

    def strip(self, *given: str | None) -> str:  # type: ignore[override]
        Line.times_read += 1
        return str.strip(self, *given)


def test_a_row_of_comments_is_read_in_linear_time() -> None:
    count = 500
    Line.times_read = 0
    text = Text("# why502: ignore W502-001 -- checked\n\n" * count + "server {}\n# why502: ignore W502-001 -- checked\n")
    found = suppression.read({"nginx.conf": text}).lines
    assert set(found) == {("nginx.conf", 2 * count + 1), ("nginx.conf", 2 * count + 2)}
    assert Line.times_read < 10 * count
