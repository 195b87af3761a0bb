"""Covering arrays: rows of choices in which every two choices of different columns occur together at least once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence

Row = dict[str, str]


def rows(columns: Mapping[str, Sequence[str]], fits: Callable[[Row], bool], seed: int = 1, tries: int = 30) -> list[Row]:
    """Return rows that cover every pair that can occur in a row that `fits`. Greedy: the best of some random completions.

    A pair that no try can complete to a row that fits counts as impossible.
    """
    chance = random.Random(seed)
    names = list(columns)
    left = {
        ((one, a), (other, b)) for one, other in itertools.combinations(names, 2) for a in columns[one] for b in columns[other]
    }
    found: list[Row] = []
    while left:
        pair = min(left)
        best: tuple[int, Row] | None = None
        for _ in range(tries):
            row = {name: chance.choice(columns[name]) for name in names} | dict(pair)
            if fits(row):
                gain = len(covered(row, left))
                if best is None or gain > best[0]:
                    best = (gain, row)
        if best is None:
            left.discard(pair)
            continue
        found.append(best[1])
        left -= covered(best[1], left)
    return found


def covered(row: Row, left: set[tuple[tuple[str, str], tuple[str, str]]]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the pairs among those left that a row contains."""
    return {pair for pair in itertools.combinations(row.items(), 2) if pair in left}
