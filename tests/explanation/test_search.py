"""The search in causes, codes and statuses."""

from __future__ import annotations

import time

from why502.diagnosis.causes import CAUSES
from why502.explanation.search import LONGEST, MOST, search
from why502.gateways.codes import products
from why502.gateways.statuses import STATUSES
from why502.model.explanation import Kind


def test_everything_is_found_by_its_name() -> None:
    for name in CAUSES:
        assert search(name)[0].name == name
    for code in STATUSES:
        assert (Kind.STATUS, code) in {(one.kind, one.name) for one in search(code)}
    for product in products().values():
        for code in product.codes:
            if len(code) < LONGEST:
                assert (product.name, code) in {(one.proxy, one.name) for one in search(f"{product.name} {code}") + search(code)}


def test_all_words_must_occur_and_names_come_first() -> None:
    found = search("timeout")
    assert "timeout" in found[0].name
    assert len(search("refused")) > len(search("refused haproxy")) > 0
    assert search("zzz refused") == ()
    assert search(" \n ") == ()


def test_a_long_query_costs_no_time() -> None:
    begun = time.process_time()
    assert len(search("a " * 100_000)) <= MOST
    assert time.process_time() - begun < 1
