"""No regular expression takes longer than the length of a text: each is tried on texts of 128 KiB that are made from itself."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from pumping import Expression, slowest, written_in_calls
from sampled import sampled
from yardstick import slowness

LIMIT_S = 0.5  # of a quiet machine of 2024
ATTACKS = 12  # of each expression's, evenly chosen
PHRASES = "why502/logs/phrases.py"  # `read` gives them 2048 characters of a line
# Used differently from their table: matched at the start of a line, or against a whole line.
MATCHED = (
    "why502/gateways/nginx/logs/log_format.py",
    "why502/explanation/pasted.py",
    "why502/logs/unwrap.py",
    "why502/probing/speech.py",
)
# Put together when called, from parts that are escaped, or by the person whose server it is.
COMPUTED = 23
# What breaks servers on purpose reads nothing of strangers.
ELSEWHERE = ("why502/lab/",)
_LIST = (
    "import json,sys; sys.path.insert(0, 'tests'); from pumping import compiled_at_import as c; json.dump([[e.pattern if "
    "isinstance(e.pattern, str) else e.pattern.decode('latin-1'), isinstance(e.pattern, str), e.flags, e.place, "
    "sorted(e.ways)] for e in c()], sys.stdout)"
)


@cache
def expressions() -> list[Expression]:
    """Return all that are compiled at import, as a fresh interpreter sees them, and those in calls."""
    root = Path(__file__).parents[1]
    told = subprocess.run([sys.executable, "-c", _LIST], cwd=root, capture_output=True, text=True, check=True).stdout
    found = [
        Expression(text if is_text else text.encode("latin-1"), flags, place, frozenset(ways))
        for text, is_text, flags, place, ways in json.loads(told)
    ]
    found += written_in_calls()[0]
    return [
        each._replace(ways=frozenset({"match"})) if each.place.startswith(MATCHED) else each
        for each in found
        if not each.place.startswith(ELSEWHERE)
    ]


def check(each: Expression) -> tuple[float, str] | None:
    """Return how a text is too slow for an expression; None if no text is. Only apparently slow ones are measured exactly."""
    return _slowest(each, slowness()) and _slowest(each, slowness(exactly=True))


def _slowest(each: Expression, times: float) -> tuple[float, str] | None:
    if each.place.startswith(PHRASES):
        return slowest(each, LIMIT_S / 2 * times, ATTACKS, sizes=(2 << 10,), full=2 << 10)
    return slowest(each, LIMIT_S * times, ATTACKS)


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(4))
def test_no_expression_takes_longer_than_its_text(part: int) -> None:
    every = expressions()
    assert len(every) > 900
    slow = {f"{each.place}: {each.pattern!r} on {found[1]!r}" for each in every[part::4] if (found := check(each))}
    assert not slow


@pytest.mark.thorough
def test_an_expression_made_at_call_time_is_looked_at() -> None:
    assert len(written_in_calls()[1]) == COMPUTED


@pytest.mark.parametrize("bad", sampled([r"\s+$", r"(a|a)*b", r"(\w+)=x", r"a.*b.*c", r"#\s*why\s*(?P<x>[\w, -]*?)\s+--"], 3))
def test_a_bad_one_is_found(bad: str) -> None:
    assert slowest(Expression(bad, 0, "", frozenset({"search"})), LIMIT_S)
