"""The structure that CONTRIBUTING promises: no import cycles, and no private imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import why502
from why502.registry import products

ROOT = Path(why502.__file__).parent


@cache
def trees() -> dict[str, ast.Module]:
    """Return every module of the program by name."""
    return {name_of(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


@cache
def imported(name: str) -> tuple[tuple[str, str], ...]:
    """Return the imports of a module: the source module, and the name in it ("" for the module itself)."""
    return tuple(_imported(name))


def _imported(name: str) -> Iterator[tuple[str, str]]:
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


def test_there_are_no_import_cycles() -> None:
    assert cycles() == []


def test_a_script_that_runs_alone_imports_the_standard_library_alone() -> None:
    """`python -I -S` starts these, also as root: the program's own packages are not there."""
    scripts = [name for name in trees() if name.startswith("why502.host.") and name.endswith("_process")]
    assert len(scripts) == 2
    for name in scripts:
        used = {alias.name for node in ast.walk(trees()[name]) if isinstance(node, ast.Import) for alias in node.names}
        used |= {str(node.module) for node in ast.walk(trees()[name]) if isinstance(node, ast.ImportFrom)}
        assert {module.partition(".")[0] for module in used} <= sys.stdlib_module_names, name


def test_private_names_are_used_only_in_their_own_module() -> None:
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


# The readers of logs make one of these for each line, or find their counts by one: a tuple is made and hashed in C.
HOT = ("why502.logs.", ".logs.error_fields", "why502.watch.model.", "why502.watch.state.values.")

# A msgspec.Struct for another reason: a configuration does not cross JSON, but a large one has a million of these, created in
# C.
STRUCTS = {
    "why502.model.base",  # Value
    "why502.bundle",  # the head of a bundle
    "why502.collectors.addresses",  # output of `ip -json`
    "why502.config.configuration",
    "why502.config.tree",
    "why502.gateways.nginx.config.files",
    "why502.gateways.nginx.config.match",
    "why502.gateways.nginx.config.routes",
    "why502.gateways.nginx.logs.messages",  # lines of JSON
    "why502.linter.baseline",  # a file of ours, which others may read
    "why502.render.contract",  # output of `--format json`
    "why502.render.lint.contract",  # likewise
    "why502.render.logs.contract",  # likewise
    "why502.watch.checks.report",  # output of `why502 check --format json`
    "why502.watch.report.contract",  # likewise
    "why502.watch.notify.slack.receiver",  # answers of Slack
}


@cache
def classes() -> list[tuple[str, ast.ClassDef]]:
    """Return every class of the program, with its module."""
    return [(name, node) for name, tree in trees().items() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def decorator(node: ast.ClassDef) -> str:
    """Return the dataclass decorator of a class as written; "" if it has none."""
    return next((text for text in map(ast.unparse, node.decorator_list) if text.startswith("dataclass")), "")


def descends_from(name: str) -> set[str]:
    """Return the names of a class and of all its direct and indirect subclasses."""
    found, size = {name}, 0
    while len(found) > size:
        size = len(found)
        found |= {node.name for _, node in classes() if bases(node) & found}
    return found


def origin(module: str, name: str) -> str:
    """Return the module that defines a name used in another module."""
    return next((found for found, item in imported(module) if item == name), module)


def test_a_tuple_with_names_is_a_key_of_a_hot_dictionary() -> None:
    named = [f"{name}.{node.name}" for name, node in classes() if "NamedTuple" in bases(node)]
    assert [found for found in named if not any(part in found for part in HOT)] == []
    assert all(any(part in found for found in named) for part in HOT), "an exception that nothing needs"


def test_a_dataclass_has_slots_unless_it_keeps_what_it_worked_out() -> None:
    keeping = {
        node.name
        for _, node in classes()
        if any(
            isinstance(item, ast.FunctionDef) and "cached_property" in map(ast.unparse, item.decorator_list) for item in node.body
        )
    }
    for name in tuple(keeping):
        keeping |= descends_from(name) | {base for _, node in classes() if node.name == name for base in bases(node)}
    without = [
        f"{name}.{node.name}"
        for name, node in classes()
        if decorator(node) and "slots=True" not in decorator(node) and node.name not in keeping and not name.startswith(HOT)
    ]
    assert without == []


def test_types_that_cross_json_are_values() -> None:
    dataclasses = {(name, node.name) for name, node in classes() if decorator(node)}
    values = descends_from("Value")
    inside = [
        (f"{name}.{node.name}", used.id)
        for name, node in classes()
        if node.name in values and not decorator(node) and not name.startswith(HOT)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and not ast.unparse(field.annotation).startswith("Callable")  # it is not data
        for used in ast.walk(field.annotation)
        if isinstance(used, ast.Name) and (origin(name, used.id), used.id) in dataclasses
    ]
    assert inside == []
    structs = {name for name, node in classes() if any(ast.unparse(base) == "msgspec.Struct" for base in node.bases)}
    assert {name for name in structs if not name.startswith("why502.logs.")} == STRUCTS


# Where shared modules may name a product other than nginx. Nothing here has to change for a further product.
NAMED = {
    "why502.cli.commands.check": "help",
    "why502.cli.commands.diagnose": "options of the contract (cli.md)",
    "why502.cli.commands.explain": "help",
    "why502.cli.commands.logs": "help",
    "why502.collectors.idle_units": "users that many services share",
    "why502.diagnosis.causes.of_one_symptom": "pages of causes",
    "why502.diagnosis.causes.platform.selinux_denied": "names of SELinux types",
    "why502.diagnosis.causes.proxy.stale_dns": "hosts of clouds",
    "why502.explanation.candidates": "commands that a step may begin with",
    "why502.linter.inputs": "ends of file names in strangers' repositories",
    "why502.linter.rules.platform_hosts": "hosts of clouds",
    "why502.logs.detect": "a shortcut for lines that only one product writes",
    "why502.logs.native.layout": "a notation of log formats",
    "why502.logs.scan.parquet": "description of a column",
    "why502.logs.scan.template": "a notation of log formats",
    "why502.logs.unwrap": "tags of syslog",
    "why502.redaction.anonymous": "users of distributions",
    "why502.redaction.names": "words of names that secrets have",
    "why502.redaction.text": "a field that only one product logs",
    "why502.session.linting": "a message",
    "why502.watch.checks.report": "a field of the contract (cli.md)",
    "why502.watch.model": "a field of the contract (cli.md)",
}


def docstrings(tree: ast.Module) -> set[int]:
    """Return the identities of the nodes that are docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, documented)]
    return {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}


def words(tree: ast.Module) -> Iterator[str]:
    """Yield the texts, names and imports of a module, without its docstrings."""
    left_out = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in left_out:
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def is_of_a_product(name: str, product: re.Pattern[str]) -> bool:
    """Return whether a module belongs to one product, or to the lab, which starts each of them."""
    own = any(product.fullmatch(part) or part == "nginx" for part in name.split("."))
    return own or (name.startswith("why502.gateways.") and name.count(".") > 2) or name.startswith("why502.lab")


def test_shared_modules_do_not_know_the_products() -> None:
    """A further gateway needs its own package, and no edit in the modules that all share."""
    names = {name.replace("_", "[-_ ]?") for name in products("why502.gateways") if name != "nginx"} | {"httpd"}
    product = re.compile(rf"(?:{'|'.join(sorted(names))})", re.IGNORECASE)
    shared = {name: tree for name, tree in trees().items() if not is_of_a_product(name, product)}
    found = {name for name, tree in shared.items() if any(product.search(word) for word in words(tree))}
    assert sorted(found - NAMED.keys()) == []
    assert sorted(NAMED.keys() - found) == []
