"""The advice of each gateway is about a known cause, and in its own words."""

from __future__ import annotations

import re

import pytest

from why502 import registry
from why502.diagnosis.causes import CAUSES, fixes
from why502.gateways.advice import own_advice
from why502.gateways.nginx.directives import table

PRODUCTS = [name for name in registry.products("why502.gateways") if registry.part("why502.gateways", name, "advice")]
_WORD = re.compile(r"[a-z]+(?:_[a-z]+)+")


@pytest.mark.parametrize("product", PRODUCTS)
def test_each_is_about_a_cause_and_names_no_directive_of_nginx(product: str) -> None:
    module = registry.part("why502.gateways", product, "advice")
    assert module is not None
    assert module.ADVICE.keys() <= CAUSES.keys()
    for text in module.ADVICE.values():
        assert not set(_WORD.findall(text)) & table().keys()
        assert text.endswith(".")


def test_a_product_without_advice_leaves_it_to_the_page() -> None:
    assert own_advice("nginx", "wrong-protocol") == ""
    assert own_advice("haproxy", "disk-full") == ""
    assert "server line" in own_advice("haproxy", "wrong-protocol")
    assert {"apache", "haproxy"} <= {*PRODUCTS}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_page_names_directives_of_nginx_only_to_users_of_nginx(cause: str) -> None:
    for kind in registry.products("why502.gateways"):
        found = fixes(cause, kind)
        assert found or not fixes(cause, "")
        if kind not in ("nginx", "ingress_nginx"):
            assert not {word for text in found for word in _WORD.findall(text)} & table().keys(), kind
            assert "nginx" not in "".join(found), kind
    cause_words = f"{CAUSES[cause].message} {CAUSES[cause].headline}"
    assert not set(_WORD.findall(cause_words)) & (table().keys() - {"worker_connections"})


def test_what_a_page_says_to_users_of_nginx_follows_what_it_says_to_all() -> None:
    general, own = fixes("tls-client-certificate-required", "")
    assert own.startswith("nginx: `proxy_ssl_certificate`")
    assert fixes("tls-client-certificate-required", "haproxy") == (general,)
    assert fixes("tls-client-certificate-required", "nginx") == (f"{general} {own.removeprefix('nginx: ')}",)
