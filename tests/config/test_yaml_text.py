"""YAML and JSON as values with positions: any text, bounded."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from why502.config.yaml_text import DEEPEST, MOST_VALUES, NOTHING, Item, of_plain, read

TEXT = """\
# comment
admin: {address: "127.0.0.1"}
list:
  - name: é          # two bytes
    portValue: 80
  - &second {name: b, on: true, none: ~, quoted: "null"}
again: *second
"""


def plain(item: Item) -> object:
    if item.members:
        return {name: plain(each) for name, each in item.members.items()}
    return item.value if isinstance(item.value, str) else [plain(each) for each in item] if item else None


def test_values_and_their_places() -> None:
    item, problems = read(TEXT, "e.yaml")
    assert problems == ()
    first, second = item["list"]
    assert (first["name"].text, first["port_value"].number) == ("é", 80)  # also by its other spelling
    assert "port_value" in first and "ports" not in first
    assert second["on"].is_true and not second["none"] and second["quoted"].text == "null"
    assert item["again"]["name"] is second["name"]
    assert item["nothing"]["below"] is NOTHING and list(item["nothing"]) == []
    at = first["port_value"].at
    assert at is not None and (at.file, at.line) == ("e.yaml", 5)
    assert TEXT.encode()[at.start : at.end] == b"80"
    name = first["name"].at
    assert name is not None and TEXT.encode()[name.start : name.end].decode() == "é"


def test_what_cannot_be_read_is_a_problem_with_its_line() -> None:
    item, (problem,) = read("a: 1\nb: [1, 2\n", "e.yaml")
    assert item is NOTHING and "did not find" in problem.message and problem.at is not None and problem.at.line == 3
    assert read("a: \x00\udcff b", "e.yaml")[0]["a"].text == "?? b"
    assert read("", "e.yaml") == (NOTHING, ())


@pytest.mark.thorough
def test_hostile_texts_end_early() -> None:
    begun = time.monotonic()
    bombs = "a: &a [1]\n" + "".join(f"k{n}: &k{n} [{', '.join(['*' + (f'k{n - 1}' if n else 'a')] * 9)}]\n" for n in range(12))
    for text, words in (
        ("[" * 300_000, f"more than {DEEPEST} levels"),
        ("{a: " * 300_000, f"more than {DEEPEST} levels"),
        (bombs, f"more than {MOST_VALUES} values"),
        ("- a\n" * (MOST_VALUES + 1), f"more than {MOST_VALUES} values"),
        ("x" * (5 << 20), "larger than 4 MiB"),
    ):
        item, (problem,) = read(text, "e.yaml")
        assert item is NOTHING and words in problem.message
    assert time.monotonic() - begun < 10


def test_decoded_json_is_read_alike() -> None:
    item = of_plain({"a": [1, 2.5, True, None, "x"], "b": {}})
    assert [each.text for each in item["a"]] == ["1", "2.5", "true", "", "x"]
    assert item["a"] and item["b"] and not item["c"] and item.size == 8


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("{}[]:-,&*!|>'\"# \n\t"), max_size=200))
def test_any_text_is_read(text: str) -> None:
    item, problems = read(text, "e.yaml")
    assert isinstance(item, Item) and (problems == () or item is NOTHING)


_VALUES = st.recursive(
    st.none() | st.integers(0, 9).map(str) | st.text(alphabet="abé'\" :#-", max_size=8),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4) | st.dictionaries(st.text("abc_", min_size=1, max_size=4), inner, min_size=1)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(_VALUES, st.booleans())
def test_what_is_written_is_read_back(value: object, flow: bool) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    item, problems = read(text, "e.yaml")
    assert problems == () and plain(item) == value
