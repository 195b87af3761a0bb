"""Cases of which the shorter suites try a few, spread over all of them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def sampled(cases: Iterable[object], step: int) -> list[ParameterSet]:
    """Return parameters for `parametrize`: `make check` tries each `step`-th case, and `make test` all.

    A case is a value, the tuple of a test with several parameters, or what `pytest.param` gives.
    """
    return _marked(cases, step, pytest.mark.thorough)


def few(cases: Iterable[object], step: int) -> list[ParameterSet]:
    """Return parameters of a long test: `make test` tries each `step`-th case, `make scenes` the others."""
    return _marked(cases, step, pytest.mark.long)


def _marked(cases: Iterable[object], step: int, mark: pytest.MarkDecorator) -> list[ParameterSet]:
    found = []
    for number, case in enumerate(cases):
        made = case if isinstance(case, ParameterSet) else pytest.param(*(case if isinstance(case, tuple) else (case,)))
        marks = () if number % step == 0 else (mark,)
        found.append(made._replace(marks=(*made.marks, *marks)))
    return found
