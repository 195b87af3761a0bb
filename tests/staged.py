"""What every test of a staged fault is marked with."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from why502.lab.fault import Fault

# A scene breaks a whole system of real servers while another one runs beside it. One that fails is staged once more, and
# `make test` names it at its end: it is a defect of the scene or of the program that has to be found. No other test is repeated.
REPEATED = pytest.mark.flaky(reruns=1)


def scenes(faults: Iterable[Fault]) -> list[object]:
    """Return each scene as an argument of a test: `make test` plays every healthy machine and the first scene of each cause,
    `make scenes` the others.
    """
    cases: list[object] = []
    seen = set()
    for fault in faults:
        marks = [pytest.mark.machine] if "machine" in fault.needs else []
        if not fault.is_healthy and fault.cause in seen:
            marks.append(pytest.mark.long)
        seen.add(fault.cause)
        cases.append(pytest.param(fault, id=fault.name, marks=marks))
    return cases
