"""The tables of codes and statuses name causes that exist, and every code can be explained."""

from __future__ import annotations

from collections import Counter

import every
import pytest

from why502.diagnosis.causes import CAUSES
from why502.explanation import explain
from why502.gateways.codes import products
from why502.gateways.statuses import STATUSES

CODES = [(product.name, code) for product in products().values() for code in product.codes]


def test_the_causes_exist() -> None:
    named = {cause for product in products().values() for row in product.codes.values() for cause in row.causes}
    named |= {cause for status in STATUSES.values() for maker in status.makers for cause in maker.causes}
    assert named <= set(CAUSES)


@every.of(CODES)
def test_a_code_is_explained(product: str, code: str) -> None:
    explanation = explain(code, product)
    assert explanation.kind in ("code", "status")
    assert explanation.proxy == product
    assert explanation.gateway_failure == (explanation.cause is not None) or explanation.kind == "status"


@every.of(STATUSES)
def test_a_status_is_explained(status: str) -> None:
    explanation = explain(status)
    assert explanation.kind == "status"
    assert explanation.fields["status"] == int(status)
    assert explanation.candidates
    assert sum(each.confidence for each in explanation.candidates) <= len(explanation.candidates)


@every.of(CODES)
def test_a_failure_with_an_explanation_names_its_cause(product: str, code: str) -> None:
    row = products()[product].codes[code]
    found = explain(code, product)
    assert found.gateway_failure == row.is_gateway_failure
    assert found.cause == (row.causes[0] if row.is_gateway_failure and row.causes else None)
    assert row.causes or not row.is_gateway_failure
    assert [candidate.cause for candidate in found.candidates][:1] == list(row.causes[:1])


def test_a_code_of_one_product_alone_needs_no_product() -> None:
    told = Counter(code.lower() for product in products().values() for code in (*product.codes, *product.aliases))
    alone = [(name, code) for name, code in CODES if told[code.lower()] == 1 and not code.isdigit()]
    assert len(alone) > 250
    for name, code in alone:
        assert (explain(code).proxy, explain(code).cause) == (name, explain(code, name).cause), code


@pytest.mark.parametrize(
    ("text", "proxy", "cause"),
    [
        ("NoHealthyUpstream", "envoy", "all-upstreams-down"),
        ("UpstreamRequestTimeout", "envoy", "backend-too-slow"),
        ("http1.codec_error", "envoy", "invalid-response"),
        ("upstream_reset_before_response_started{connection_termination}", "envoy", "premature-close"),
        ("502.3", "iis", "backend-not-running"),
        ("0x80072EE2", "iis", "backend-too-slow"),
        ("failure to get a peer from the ring-balancer", "kong", "all-upstreams-down"),
    ],
)
def test_other_spellings(text: str, proxy: str, cause: str) -> None:
    assert (explain(text).proxy, explain(text).cause) == (proxy, cause)


@pytest.mark.parametrize("status", ["499", "500", "503"])
@pytest.mark.parametrize("proxy", ["cloudflare", "kong", "iis", "traefik"])
def test_a_status_that_a_gateway_passes_on(status: str, proxy: str) -> None:
    found = explain(status, proxy)
    assert (found.kind, found.fields["status"]) == ("status", int(status))
    assert found.cause in {candidate.cause for candidate in explain(status).candidates}
