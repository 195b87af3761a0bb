"""nginx writes the upstream of a timeout on a unix socket without the colon before the URI."""

from __future__ import annotations

import pytest

from why502.logs.scan.details import configured
from why502.model.target import Target

SOCKETS = frozenset({"/run/shop.sock", "/run/shop.sock/admin", "/run/a.sock"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/run/shop.sock", "/run/shop.sock"),
        ("/run/shop.sock/orders/5", "/run/shop.sock"),
        ("/run/shop.sock?x=1", "/run/shop.sock"),
        ("/run/shop.sock/admin/users", "/run/shop.sock/admin"),
        ("/run/shop.socket", "/run/shop.socket"),
        ("/run/other.sock/x", "/run/other.sock/x"),
    ],
)
def test_the_longest_configured_socket_is_meant(written: str, meant: str) -> None:
    assert configured(Target(path=written), SOCKETS) == Target(path=meant)
