"""Taking one change out of a text: properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from why502.fix.merge import without

lines = st.lists(st.sampled_from([b"a;\n", b"b;\n", b"c {\n", b"}\n", b"server x down;\n", b"\n"]), max_size=12).map(b"".join)


@given(lines, lines)
def test_nothing_else_changed(before: bytes, after: bytes) -> None:
    assert without(before, after, after) == before


@given(lines, lines)
def test_taken_out_already(before: bytes, after: bytes) -> None:
    assert without(before, after, before) == before


@given(lines, st.binary(max_size=20), st.binary(max_size=20))
def test_lines_around_survive(before: bytes, first: bytes, last: bytes) -> None:
    old, new = b"unique old line;\n", b"unique new line;\n"
    first, last = b"# " + first.hex().encode() + b"\n", b"# " + last.hex().encode() + b"\n"
    assert (
        without(
            before + b"|\n" + old + b"|\n" + before,
            before + b"|\n" + new + b"|\n" + before,
            first + before + b"|\n" + new + b"|\n" + before + last,
        )
        == first + before + b"|\n" + old + b"|\n" + before + last
    )


def test_two_changes_of_neighbours_come_apart() -> None:
    one, two = b"server a;\nserver b;\n", b"server a down;\nserver b;\n"
    three = b"server a down;\nserver b down;\n"
    assert without(one, two, three) == b"server a;\nserver b down;\n"


def test_the_same_lines_are_a_conflict() -> None:
    assert without(b"a 1;\n", b"a 2;\n", b"a 3;\n") is None
