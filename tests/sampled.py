"""Cases of which `make check` tries a few, spread over all of them, and `make test` all."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def sampled(cases: Iterable[object], step: int) -> list[ParameterSet]:
    """Return parameters for `parametrize`: each `step`-th case as it is, the others as `thorough` ones.

    A case is a value, the tuple of a test with several parameters, or what `pytest.param` gives.
    """
    found = []
    for number, case in enumerate(cases):
        made = case if isinstance(case, ParameterSet) else pytest.param(*(case if isinstance(case, tuple) else (case,)))
        marks = () if number % step == 0 else (pytest.mark.thorough,)
        found.append(made._replace(marks=(*made.marks, *marks)))
    return found
