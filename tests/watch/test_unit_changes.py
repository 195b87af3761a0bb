"""What the ledger tells of the units of a real systemd."""

from __future__ import annotations

from pathlib import Path

import pytest
from own_systemd import played

pytestmark = [pytest.mark.machine, pytest.mark.timeout(180)]


def test_starts_stops_and_failures_of_units_are_told_once() -> None:
    assert played(Path(__file__).with_name("in_machine_changes.py")) == "all told\n"
