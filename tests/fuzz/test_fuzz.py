"""Every parser survives mutated input. `scripts/fuzz` tries millions; this is a sample, the same at each run."""

from __future__ import annotations

import pytest
from sampled import sampled

from tests.fuzz.mutate import run
from tests.fuzz.targets import Parser, parsers

INPUTS = 300


@pytest.mark.parametrize("parser", sampled([pytest.param(each, id=each.name) for each in parsers()], 4))
def test_parsers_accept_mutated_texts(parser: Parser) -> None:
    tried, _, broken = run(parser, 0, most=INPUTS)
    assert not broken
    assert tried == INPUTS
