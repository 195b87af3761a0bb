"""The description of the API itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from starlette.requests import Request

from why502.serve import api
from why502.serve.openapi import description
from why502.serve.operation import Nothing, Operation
from why502.serve.rendering import serving

BASE = "/api/1"


def operations() -> Iterator[Operation]:
    """Yield every operation of the API."""
    for found in iter_modules(api.__path__):
        yield from import_module(f"{api.__name__}.{found.name}").OPERATIONS


@lru_cache(1)
def described() -> dict[str, Any]:
    """Return the description in OpenAPI."""
    return description(operations(), BASE)


def _described(request: Request, _: Nothing) -> dict[str, Any]:
    base = serving(request).settings.base
    return described() | ({"servers": [{"url": base}]} if base else {})


OPERATIONS = (
    Operation(
        path="/openapi.json",
        name="openapi",
        summary="This description",
        answer=dict[str, Any],
        work=_described,
    ),
)
ROUTES = [operation.route() for operation in OPERATIONS]
