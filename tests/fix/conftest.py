"""A shop with its own locks for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import NGINX, Shop, shop

from why502.fix import places


@pytest.fixture(name="shop")
def a_shop() -> Iterator[Shop]:
    if NGINX is None:
        pytest.skip("needs nginx")
    with shop() as found:
        yield found


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the locks of these proxies into a temporary directory."""
    where = tmp_path / "locks"
    monkeypatch.setattr(places, "locks", lambda: where)
    return where
