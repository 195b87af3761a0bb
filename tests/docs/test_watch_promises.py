"""Each promise of `why502 watch` on its page has tests, and they exist."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from why502.model.patterns import lazy

ROOT = Path(__file__).parents[2]
KINDS = {"T": 15, "C": 8, "I": 7, "R": 10, "S": 3, "W": 50}
_ROW = lazy(r"\| ([A-Z]\d+) \| [^|]+ \| ([^|]+) \|")
_TEST = lazy(r"`([\w/]+\.py)::(\w+)`")


@cache
def names_of(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a file."""
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def test_each_promise_has_tests_that_exist() -> None:
    page = (ROOT / "docs/watch-promises.md").read_text()
    rows = [match.groups() for line in page.splitlines() if (match := _ROW.fullmatch(line))]
    assert [name for name, _ in rows] == [f"{kind}{number + 1}" for kind, count in KINDS.items() for number in range(count)]
    for name, cell in rows:
        tests = _TEST.findall(cell)
        assert tests, name
        missing = [f"{path}::{test}" for path, test in tests if test not in names_of(ROOT / "tests" / path)]
        assert not missing, name
