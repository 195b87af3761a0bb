"""Removing one change from a text: properties."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from why502.fix.merge import MOST_WORDS, without

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


def test_words_of_one_line_come_apart_in_any_order() -> None:
    texts = [b"x;\nlocation / { proxy_pass http://app; }\ny;\n"]
    for word in (b" return 503;", b" limit_conn a 5;", b" proxy_read_timeout 9s;"):
        texts.append(texts[-1].replace(b"{", b"{" + word) if word == b" return 503;" else texts[-1].replace(b" }", word + b" }"))
    base, one, two, three = texts
    for order in permutations([(base, one), (one, two), (two, three)]):
        now = three
        for before, after in order:
            left = without(before, after, now)
            assert left is not None, order
            now = left
        assert now == base, order


word_lists = st.lists(st.sampled_from([b"aa", b"bb", b"{", b"}", b";"]), min_size=3, max_size=9)


@given(word_lists, st.data())
def test_mitigations_of_distinct_words_are_undone_in_any_order(words: list[bytes], data: st.DataObject) -> None:
    steps: list[tuple[bytes, bytes]] = []
    for number in range(3):
        before = b"".join(b" " + word for word in words)
        place = data.draw(st.integers(0, len(words)))
        words = [*words[:place], b"new%d" % number, *words[place:]]
        steps.append((before, b"".join(b" " + word for word in words)))
    base, now = steps[0][0], steps[-1][1]
    for before, after in data.draw(st.permutations(steps)):
        left = without(before, after, now)
        assert left is not None
        now = left
    assert now == base


def test_a_large_line_is_refused_in_time() -> None:
    words = b" ".join(b"w%d" % number for number in range(MOST_WORDS))
    assert without(words + b" a\n", words + b" b\n", words + b" c\n") is None
