"""Parsers hold no state: what a line says depends on it alone, and what needs the lines before is an object made
for each stream.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from truth import COMBINATIONS, Shape, write

import why502
from why502.logs.detect import parse_any
from why502.logs.formats import formats

ROOT = Path(why502.__file__).parent
MAKERS = frozenset({"dict", "list", "set", "deque", "OrderedDict", "defaultdict", "Counter", "bytearray", "array"})
CHANGES = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "move_to_end", "pop", "popitem", "popleft", "remove"}
    | {"setdefault", "sort", "update"}
)
# Connections to file systems, and the compiled reader's own switch, are no memory of lines.
OF_OTHERS = ("why502/logs/scan/remote.py",)


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules that read logs."""
    for pattern in ("logs/**/*.py", "gateways/*/logs.py", "gateways/*/logs/**/*.py"):
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT.parent).as_posix()
            if not name.startswith(OF_OTHERS):
                yield name, ast.parse(path.read_text())


def containers(tree: ast.Module) -> set[str]:
    """Return the names of the module's own containers that can be changed."""
    found = set()
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        is_container = isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp) or (
            isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in MAKERS
        )
        if is_container:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def changed(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Yield what a function changes of them, and every `global`."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
        for node in ast.walk(function):
            match node:
                case ast.Global():
                    yield f"global {', '.join(node.names)}"
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if name in names and attr in CHANGES:
                    yield f"{name}.{attr}"
                case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in names:
                    yield f"{name}[…]"
                case ast.AugAssign(target=ast.Name(id=name)) if name in names:
                    yield name


def test_no_module_that_reads_logs_remembers_anything() -> None:
    seen = list(modules())
    assert len(seen) > 60
    assert [(name, what) for name, tree in seen for what in changed(tree, containers(tree))] == []


def test_the_walk_finds_what_it_looks_for() -> None:
    tree = ast.parse(
        "_last = {}\n_more: list[int] = []\ndef f():\n    global g\n    _last['a'] = 1\n    _more.append(2)\n    del _last['a']"
    )
    assert sorted(changed(tree, containers(tree))) == ["_last[…]", "_last[…]", "_more.append", "global g"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return some lines of every format, bad ones and messages among them."""
    lines = []
    for name, wrappers in COMBINATIONS.items():
        path = tmp_path_factory.mktemp("lines") / "log"
        write(path, Shape(format=name, wrapper=wrappers[0], lines=12, failures=0.5, odd=0.3, noise=0.3))
        lines += path.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    return lines


@pytest.mark.thorough
def test_a_line_says_the_same_whatever_came_before(written: list[str]) -> None:
    alone = {line: parse_any(line) for line in written}
    shuffled = written[:]
    random.Random(7).shuffle(shuffled)
    assert {line: parse_any(line) for line in shuffled} == alone
    for form in formats():
        once = [form.parse(line) for line in written[::3]]
        assert [form.parse(line) for line in reversed(written[::3])] == once[::-1], form.NAME
