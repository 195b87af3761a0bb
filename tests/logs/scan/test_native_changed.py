"""The compiled reader counts whatever clients ask for as Python does, in every format.

`scripts/fuzz --reader` damages lines anywhere.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sampled import sampled

from tests.logs.scan.changed import CASES, asked_oddly, differing


@pytest.mark.parametrize(("name", "wrapper"), sampled(CASES, 16))
def test_odd_paths_count_alike(name: str, wrapper: str, tmp_path: Path) -> None:
    for seed in range(2):
        assert list(differing(name, wrapper, seed, tmp_path / "log", is_exact=bool(seed), change=asked_oddly)) == []
