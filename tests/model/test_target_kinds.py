"""Loopback and wildcard addresses: most are told by their first characters, with the same answer as ipaddress gives."""

from __future__ import annotations

import ipaddress

import pytest

from why502.model.target import Target

HOSTS = (
    "127.0.0.1", "127.9.9.9", "127.0.0.01", "127.example", "126.0.0.1", "1.2.3.4", "0.0.0.0", "0.0.0.1", "0", "00.0.0.0", "",
    "::", "::1", "0:0:0:0:0:0:0:0", "0:0:0:0:0:0:0:1", "::0.0.0.0", "::%eth0", "::1%lo", "::ffff:127.0.0.1", "fe80::1", "1::",
    "shop.example", "*",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_the_kind_of_an_address_is_that_of_ipaddress(host: str) -> None:
    target = Target(host=host, port=80)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        assert (target.is_loopback, target.is_wildcard) == (False, False)
    else:
        assert (target.is_loopback, target.is_wildcard) == (address.is_loopback, address.is_unspecified)
