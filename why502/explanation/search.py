"""Finds causes, codes and statuses by the words in what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from why502.explanation.known import CAUSES
from why502.gateways.codes import products
from why502.gateways.statuses import STATUSES
from why502.model.base import Value
from why502.model.explanation import Kind
from why502.model.words import WORDS

MOST = 100
LONGEST = 200  # characters of a query


class Entry(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One thing that can be looked up. `name`: what to give to `explain`; `proxy`: the product whose code it is, "" otherwise."""

    kind: Kind
    name: str
    message: str
    proxy: str = ""


def search(query: str) -> tuple[Entry, ...]:
    """Return what has all words of a query, best first: by its name, then by its message, then by its page; at most MOST."""
    words = query[:LONGEST].lower().split()
    if not words:
        return ()
    ranked = [(rank, number) for number, (entry, text) in enumerate(_all()) if (rank := _rank(words, entry, text)) is not None]
    return tuple(_all()[number][0] for _, number in sorted(ranked)[:MOST])


def _rank(words: list[str], entry: Entry, text: str) -> int | None:
    """Return how far down an entry belongs; None if it lacks a word."""
    name = entry.name.lower()
    if name == " ".join(words):
        return 0
    message = f"{name} {entry.proxy} {entry.message.lower()}"
    for rank, place in ((1, name), (2, message), (3, text)):
        if all(word in place for word in words):
            return rank
    return None


@lru_cache(1)
def _all() -> tuple[tuple[Entry, str], ...]:
    """Return every entry with the lower-case text that is searched."""
    return tuple((entry, text.lower()) for entry, text in _entries())


def _entries() -> Iterator[tuple[Entry, str]]:
    for name, cause in CAUSES.items():
        seen = " ".join(WORDS.get(symptom, "") for symptom in cause.symptoms)
        yield Entry(kind=Kind.CAUSE, name=name, message=cause.message), f"{name} {cause.message} {seen} {cause.page}"
    for code, status in STATUSES.items():
        when = " ".join(f"{maker.proxy} {maker.when}" for maker in status.makers)
        yield Entry(kind=Kind.STATUS, name=code, message=status.title), f"{code} {status.title} {when}"
    for product in products().values():
        for row in product.codes.values():
            entry = Entry(kind=Kind.CODE, name=row.code, message=row.message, proxy=product.name)
            yield entry, f"{row.code} {row.message} {product.name} {product.title} {' '.join(product.also)}"
