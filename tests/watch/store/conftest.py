"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from why502.watch.store import Store


@pytest.fixture(autouse=True)
def closed_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the stores that a test left open, as those that fail do."""
    opened: list[Store] = []
    original = Store._connect

    def connect(store: Store) -> Any:
        opened.append(store)
        return original(store)

    monkeypatch.setattr(Store, "_connect", connect)
    yield
    for store in opened:
        if hasattr(store, "_reader"):
            store.close()
