"""The structure that CONTRIBUTING promises: no module needs itself, and what is private to a module is used there alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import why502

ROOT = Path(why502.__file__).parent


@cache
def trees() -> dict[str, ast.Module]:
    """Return every module of the program by name."""
    return {name_of(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imported(name: str) -> Iterator[tuple[str, str]]:
    """Yield what a module imports: the module that it comes from, and the name in it ("" for the module itself)."""
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in trees())
        elif isinstance(node, ast.ImportFrom) and node.module in trees():
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole, "") if whole in trees() else (node.module, alias.name)


def cycles() -> list[list[str]]:
    """Return the groups of modules that need each other (Tarjan's algorithm)."""
    edges = {name: sorted({found for found, _ in imported(name)}) for name in trees() if name != "why502"}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in edges.get(name, ()):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in edges:
        if name not in index:
            visit(name)
    return found


def test_no_module_needs_itself() -> None:
    assert cycles() == []


def test_what_is_private_is_used_in_its_own_module_alone() -> None:
    private = [
        (name, found, item)
        for name in trees()
        for found, item in imported(name)
        if item.startswith("_") and not item.startswith("__")
    ]
    private += [
        (name, ast.unparse(node), "")
        for name, tree in trees().items()
        for modules in [{found.rpartition(".")[2] for found, item in imported(name) if not item}]
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        if node.attr.startswith("_") and not node.attr.startswith("__")
    ]
    assert private == []
