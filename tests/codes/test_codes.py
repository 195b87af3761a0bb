"""The tables of codes and statuses name causes that exist, and every code can be explained."""

from __future__ import annotations

import pytest

from why502.causes import CAUSES
from why502.codes import products
from why502.codes.statuses import STATUSES
from why502.explanation import explain

CODES = [(product.name, code) for product in products().values() for code in product.codes]


def test_the_causes_exist() -> None:
    named = {cause for product in products().values() for row in product.codes.values() for cause in row.causes}
    named |= {cause for status in STATUSES.values() for maker in status.makers for cause in maker.causes}
    assert named <= set(CAUSES)


@pytest.mark.parametrize(("product", "code"), CODES)
def test_a_code_is_explained(product: str, code: str) -> None:
    explanation = explain(code, product)
    assert explanation.kind in ("code", "status")
    assert explanation.proxy == product
    assert explanation.gateway_failure == (explanation.cause is not None) or explanation.kind == "status"


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_is_explained(status: str) -> None:
    explanation = explain(status)
    assert explanation.kind == "status"
    assert explanation.fields["status"] == int(status)
    assert explanation.candidates
    assert sum(each.confidence for each in explanation.candidates) <= len(explanation.candidates)
