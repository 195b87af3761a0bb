"""The reader of source text behind `test_fields`: what it follows, and what it must not take for a read."""

from __future__ import annotations

import ast

import field_reads
import pytest

MODEL = """
class Cat:
    name: str = ""
    age: int = 0
    friend: "Dog | None" = None
    @property
    def whose(self) -> str:
        return self.name
class Dog:
    name: str = ""
    age: int = 0
class House:
    cats: tuple[Cat, ...] | None = None
    dogs: dict[str, Dog] = {}
"""
BOTH = {("Cat", "age"), ("Dog", "age")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f(cat: Cat): return cat.age", {("Cat", "age")}),
        ("def f(cat: Cat): cat.age = 1", set()),
        ("def f(): return Cat(age=1)", set()),
        ("def f(x): return x.age", BOTH),
        ("def f(house: House): return [c.age for c in house.cats or ()]", {("House", "cats"), ("Cat", "age")}),
        ("def f(house: House): return max(house.cats, key=lambda c: c.age)", {("House", "cats"), ("Cat", "age")}),
        ("def f(house: House):\n for n, d in house.dogs.items():\n  d.age", {("House", "dogs"), ("Dog", "age")}),
        ("def f(house: House): return house.dogs['a'].age", {("House", "dogs"), ("Dog", "age")}),
        ("def f(cat: Cat): return cat.friend.age if cat.friend else 0", {("Cat", "friend"), ("Dog", "age")}),
        ("def one(h: House) -> Cat: ...\ndef f(h): return one(h).age", {("Cat", "age")}),
        ("def f(x):\n match x:\n  case Cat(age=3): pass", {("Cat", "age")}),
        ("def f(cat: Cat): return getattr(cat, 'age')", {("Cat", "age")}),
        ("ALL = ('age',)\ndef f(cat: Cat): return [getattr(cat, n) for n in ALL]", {("Cat", "age")}),
        ("def f(cat: Cat): return 'age'", set()),
        ("class K:\n cat: Cat\n def g(self): return self.cat.age", {("K", "cat"), ("Cat", "age")}),
        ("def f(house: House):\n if c := next(iter(house.cats), None): return c.age", {("House", "cats"), ("Cat", "age")}),
    ],
)
def test_fields_that_are_read(text: str, expected: set[field_reads.Read]) -> None:
    trees = [ast.parse(MODEL), ast.parse(text)]
    known = field_reads.program(trees)
    found = set(field_reads.reads(trees[1], known, frozenset(known.annotations)))
    assert {read for read in found if read[1] not in ("items", "whose")} == expected
