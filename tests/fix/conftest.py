"""A shop for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop import NGINX, Shop, shop


@pytest.fixture(name="shop")
def a_shop() -> Iterator[Shop]:
    if NGINX is None:
        pytest.skip("needs nginx")
    with shop() as found:
        yield found
