"""The advice of each gateway is about a known cause, and in its own words."""

from __future__ import annotations

import re

import pytest

from why502 import registry
from why502.diagnosis.causes import CAUSES
from why502.gateways.advice import own_advice
from why502.gateways.nginx.directives import table

PRODUCTS = [name for name in ("apache", "haproxy") if registry.part("why502.gateways", name, "advice")]


@pytest.mark.parametrize("product", PRODUCTS)
def test_each_is_about_a_cause_and_names_no_directive_of_nginx(product: str) -> None:
    module = registry.part("why502.gateways", product, "advice")
    assert module is not None
    assert module.ADVICE.keys() <= CAUSES.keys()
    for text in module.ADVICE.values():
        assert not set(re.findall(r"[a-z]+(?:_[a-z]+)+", text)) & table().keys()
        assert text.endswith(".")


def test_a_product_without_advice_leaves_it_to_the_page() -> None:
    assert own_advice("nginx", "wrong-protocol") == ""
    assert own_advice("haproxy", "disk-full") == ""
    assert "server line" in own_advice("haproxy", "wrong-protocol")
    assert PRODUCTS == ["apache", "haproxy"]
