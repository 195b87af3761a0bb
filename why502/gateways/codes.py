"""The products' own codes (AH01102, sH, UF, 522…) and their meaning. Each product has one module `codes.py`.

A module defines PRODUCT, and where several codes are written as one text, `composed(text)`, which returns their rows. Log formats
parse lines with these tables, `why502 explain CODE` shows them, and the documentation lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from why502 import registry
from why502.model.base import Value
from why502.model.logs import Phase, Symptom


class Code(Value, frozen=True, kw_only=True):
    """One code. `causes` are ids, the likeliest first; `status` is what the client gets, as text if it is not a single number."""

    code: str
    message: str
    symptom: Symptom | None = None
    phase: Phase | None = None
    causes: tuple[str, ...] = ()
    status: str = ""
    is_gateway_failure: bool = True


class Product(Value, frozen=True, kw_only=True):
    """A gateway. `next` are commands to run or places to check when it fails; `about` is the text of its page, in Markdown.

    `aliases` maps other spellings to its codes. `also`: other names that people use for it. `formats`: the log formats of its
    lines.
    """

    name: str
    title: str
    about: str
    codes: dict[str, Code] = {}
    aliases: dict[str, str] = {}
    next: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()


_PHASES = {
    "connect": Phase.CONNECT,
    "name-": Phase.RESOLVE,
    "tls": Phase.TLS,
    "read-timed": Phase.READ_HEADER,
    "header": Phase.READ_HEADER,
    "closed-before": Phase.READ_HEADER,
    "reset-before": Phase.READ_HEADER,
    "closed-in": Phase.READ_BODY,
    "reset-in": Phase.READ_BODY,
    "body": Phase.READ_BODY,
    "send": Phase.SEND,
    "no-live": Phase.SELECT,
    "no-members": Phase.SELECT,
    "peer": Phase.SELECT,
    "circuit": Phase.SELECT,
    "client": Phase.CLIENT,
    "host-unreachable": Phase.CONNECT,
    "socket-path": Phase.CONNECT,
    "queue-full": Phase.CONNECT,
    "no-local-port": Phase.CONNECT,
    "config": Phase.CONFIG,
}


def phase_of(symptom: Symptom | None) -> Phase | None:
    """Return the phase that a request had reached when it ended with a symptom; None if that varies."""
    return next((phase for start, phase in _PHASES.items() if symptom and symptom.value.startswith(start)), None)


def code(code: str, message: str, symptom: Symptom | None, causes: str, status: str = "", *, failure: bool = True) -> Code:
    """Return a row of a table; `causes` are ids separated by spaces."""
    return Code(
        code=code,
        message=message,
        symptom=symptom,
        phase=phase_of(symptom),
        causes=tuple(causes.split()),
        status=status,
        is_gateway_failure=failure,
    )


def table(*rows: Code) -> dict[str, Code]:
    """Return the rows by their code."""
    return {row.code: row for row in rows}


@lru_cache(1)
def products() -> dict[str, Product]:
    """Return all products by name."""
    found = [module.PRODUCT for module in registry.parts("why502.gateways", "codes")]
    return {product.name: product for product in found}


@lru_cache(1)
def names() -> dict[str, str]:
    """Return every name of a product that people use, with the product's own."""
    return {name: product.name for product in products().values() for name in (product.name, *product.also)}


@lru_cache(64)
def product(name: str) -> Product | None:
    """Return the product with that name, without loading the others."""
    module = registry.part("why502.gateways", name.replace("-", "_"), "codes")
    return module.PRODUCT if module else None


def find(text: str) -> Iterator[tuple[Product, Code]]:
    """Yield every code that matches the text: exact matches if there are any, else case-insensitive ones."""
    spelt = [(product, product.aliases.get(text, text)) for product in products().values()]
    found = [(product, product.codes[code]) for product, code in spelt if code in product.codes]
    yield from found or _any_case().get(text.lower(), [])


def find_composed(text: str) -> Iterator[tuple[Product, Code]]:
    """Yield the rows of a text that consists of several codes, or of a code and its details."""
    for module in registry.parts("why502.gateways", "codes"):
        if hasattr(module, "composed"):
            yield from ((module.PRODUCT, row) for row in module.composed(text))


@lru_cache(1)
def _any_case() -> dict[str, list[tuple[Product, Code]]]:
    """Return all codes by their lower-case spelling."""
    found: dict[str, list[tuple[Product, Code]]] = {}
    for product in products().values():
        for key, code in product.codes.items():
            found.setdefault(key.lower(), []).append((product, code))
    return found
