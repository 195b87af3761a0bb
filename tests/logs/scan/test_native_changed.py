"""The compiled reader counts changed lines of every format as Python does; `scripts/fuzz --reader` tries more of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.logs.scan.changed import CASES, differing


@pytest.mark.parametrize(("name", "wrapper"), CASES)
def test_changed_lines_count_alike(name: str, wrapper: str, tmp_path: Path) -> None:
    assert list(differing(name, wrapper, 0, tmp_path / "log")) == []
    assert list(differing(name, wrapper, 1, tmp_path / "log", is_exact=True)) == []
