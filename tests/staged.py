"""What every test of a staged fault is marked with."""

from __future__ import annotations

import pytest

# A scene breaks a whole system of real servers while another one runs beside it. One that fails is staged once more, and
# `make test` names it at its end: it is a defect of the scene or of the program that has to be found. No other test is repeated.
REPEATED = pytest.mark.flaky(reruns=1)
