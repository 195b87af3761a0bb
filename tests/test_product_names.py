"""A gateway is one package: no other module names one, so that adding a product edits none of them."""

from __future__ import annotations

import ast
from pathlib import Path

import why502
from why502 import registry

ROOT = Path(why502.__file__).parent
# Everything below these belongs to one product, or breaks real servers of each.
OF_PRODUCTS = ("gateways/", "lab/", "generate/", "cli/commands/generate/")
# nginx came first: fragments of its configuration and its options have commands of their own.
FIRST = "nginx"
EXCEPTIONS = {
    "collectors/events.py": "a log that Apache shares with the applications in it is read by its format alone",
    "collectors/logs.py": "Varnish keeps its log in memory, HAProxy names servers, and Apache has log formats of its own",
    "explanation/__init__.py": "a bare flag or state that a person pastes names no product: two tables are searched",
    "logs/detect.py": "lines that are recognised by their first characters load no other format",
    "logs/native/layout.py": "Apache's log formats are read by the compiled reader, too",
    "logs/scan/line_format.py": "log formats that a user gives are nginx's or Apache's",
    "logs/scan/template.py": "log formats that a user gives are nginx's or Apache's",
    "redaction/text.py": "a mark by which lines are found that may hold a cookie",
    "render/reference.py": "words that a sentence of the reference may begin with in lower case",
    "supervisors/docker/describe.py": "labels of a container that are read by a gateway",
}


def names() -> dict[str, set[str]]:
    """Return the modules outside of products' own in which a string is a product's name, with these names."""
    products = {
        product for product in registry.products("why502.gateways") if registry.part("why502.gateways", product, "running")
    }
    assert {"haproxy", "apache", "caddy", "traefik", "envoy"} <= products
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(OF_PRODUCTS):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in products - {FIRST}:
                found.setdefault(place, set()).add(str(node.value))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("why502.gateways."):
                product = node.module.split(".")[2]
                if product in products - {FIRST}:
                    found.setdefault(place, set()).add(product)
    return found


def test_no_module_outside_of_its_package_names_a_gateway() -> None:
    found = names()
    assert {place: found[place] for place in found.keys() - EXCEPTIONS.keys()} == {}


def test_the_exceptions_are_still_needed() -> None:
    assert sorted(EXCEPTIONS.keys() - names().keys()) == []
