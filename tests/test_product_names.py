"""A gateway is one package: no other module names one, so that adding a product edits none of them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import why502
from why502 import registry
from why502.gateways.behaviour import behaviour
from why502.logs import detect

ROOT = Path(why502.__file__).parent
# Everything below these belongs to one product, or breaks real servers of each; as does a directory with the name of one.
OF_PRODUCTS = ("gateways/", "lab/", "generate/", "cli/commands/generate/")
# nginx came first. Its configuration, its directives and its line formats are also used by their readers: the rules of the
# linter, the remedies that edit it, and the log engine, whose own notation of a format is nginx's.
FIRST = "nginx"
EXCEPTIONS = {
    "deployment/files.py": "whose configuration it is unless it is stated",
    "deployment/rule.py": "whose configuration a rule checks unless it is stated",
    "logs/detect.py": "lines that are recognised by their first characters load no other format",
    "logs/line_reader.py": "whose log it is unless it is stated",
    "model/config.py": "whose route it is unless a bundle states another product",
    "model/logs.py": "whose line it is unless a bundle states another product",
    "model/proxy.py": "which product it is unless a bundle states another one",
    "redaction/text.py": "a mark by which lines are found that may hold a cookie",
    "watch/notify/trial.py": "the example of a message",
}


@cache
def products() -> set[str]:
    return {FIRST} | {
        product for product in registry.products("why502.gateways") if registry.part("why502.gateways", product, "running")
    }


@cache
def shared() -> dict[str, tuple[ast.AST, ...]]:
    """Return the parts of each module outside of products' own, by its place."""
    places = {path.relative_to(ROOT).as_posix(): path for path in ROOT.rglob("*.py")}
    return {
        place: tuple(ast.walk(ast.parse(path.read_text())))
        for place, path in places.items()
        if not place.startswith(OF_PRODUCTS) and not products() & set(place.split("/"))
    }


@cache
def names() -> dict[str, set[str]]:
    """Return the modules outside of products' own in which a string is a product's name, or that import a product's package."""
    known = products()
    found: dict[str, set[str]] = {}
    for place, nodes in shared().items():
        for node in nodes:
            if isinstance(node, ast.Constant) and node.value in known:
                found.setdefault(place, set()).add(str(node.value))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("why502.gateways."):
                product = node.module.split(".")[2]
                if product in known - {FIRST}:
                    found.setdefault(place, set()).add(product)
    return found


def test_the_products_are_found() -> None:
    assert products() >= {"nginx", "haproxy", "apache", "caddy", "traefik", "envoy", "varnish"}


def test_no_module_outside_of_its_package_names_a_gateway() -> None:
    found = names()
    assert {place: found[place] for place in found.keys() - EXCEPTIONS.keys()} == {}


def test_the_exceptions_are_still_needed() -> None:
    assert sorted(EXCEPTIONS.keys() - names().keys()) == []


def test_no_module_outside_of_its_package_compares_with_a_gateway() -> None:
    """Also the exceptions only name a product; what differs between products is stated by their packages."""
    known = products()
    found = {
        place: ast.unparse(node)
        for place, nodes in shared().items()
        for node in nodes
        if isinstance(node, ast.Compare)
        if any(
            isinstance(one, ast.Constant) and one.value in known
            for side in (node.left, *node.comparators)
            for one in ast.walk(side)
        )
    }
    assert found == {}


def test_the_line_formats_that_gateways_state_exist() -> None:
    stated = {name for kind in products() for name in (behaviour(kind).access_format, behaviour(kind).error_format) if name}
    assert stated and all(detect.named(name) is not None for name in stated)
