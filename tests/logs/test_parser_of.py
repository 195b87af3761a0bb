"""The parser for a log whose format is known gives the same records as the one that tries all formats."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sampled import sampled
from truth import COMBINATIONS, Shape, write

from why502.logs.detect import parse_line, parser_of
from why502.logs.formats import formats

PAIRS = [
    (name, wrapper) for name, wrappers in COMBINATIONS.items() for wrapper in wrappers if wrapper in ("plain", "docker-json")
]
DATA = Path(__file__).parents[1] / "data"
SURE = [each.NAME for each in formats() if hasattr(each, "IS_UNMISTAKABLE") or hasattr(each, "HAS_SURE_FAILURES")]


def recorded() -> Iterator[str]:
    """Yield the lines of gateways and applications that real runs wrote."""
    for one in msgspec.json.decode((DATA / "gateway_lines.json").read_bytes()):
        yield one["line"]
    for path in sorted((DATA / "applications").iterdir()):
        yield from path.read_text(errors="surrogateescape").splitlines()


@pytest.mark.parametrize("name", SURE)
def test_recorded_lines_of_all_products_are_read_alike(name: str) -> None:
    parse = parser_of(name)
    assert parse is not parse_line
    assert [line for line in recorded() if parse(line) != parse_line(line)] == []


@pytest.mark.parametrize(("name", "wrapper"), sampled(PAIRS, 12))
def test_written_and_damaged_lines_are_read_alike(name: str, wrapper: str, tmp_path: Path) -> None:
    write(tmp_path / "log", Shape(format=name, wrapper=wrapper, lines=30, failures=0.5, odd=0.2, noise=0.1, attempts=2))
    lines = (tmp_path / "log").read_text(errors="surrogateescape").splitlines()
    chance = random.Random(name)
    for line in list(lines):
        at = chance.randrange(len(line) + 1)
        lines += [line[:at], line[:at] + chance.choice(' "\\{}[]:,0-') + line[at + chance.randrange(3) :]]
    expected = {line: parse_line(line) for line in lines}
    for parse in map(parser_of, SURE):
        assert [line for line in lines if parse(line) != expected[line]] == []


def test_a_format_without_a_claim_is_read_as_any() -> None:
    assert parser_of("") is parser_of("nginx_access") is parse_line
