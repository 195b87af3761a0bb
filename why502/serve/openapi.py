"""The description of the JSON API in OpenAPI 3.1, made from the types of its operations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from why502.serve.operation import FILES, JSON, Operation, Problem
from why502.version import __version__

_ALWAYS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "Another site caused the browser to send this.",
    405: "This address does not support this method.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    414: "The URL is too long.",
    415: "The body has a type that is not accepted.",
    421: "The server is not known by this name.",
    422: "A value is not accepted.",
    503: "Too many requests at once, or the store cannot be read at the moment.",
}
_SOMETIMES = {404: "Not found.", 429: "Too many files are being examined."}
_REF = "#/components/schemas/{name}"


def description(operations: Iterable[Operation], base: str) -> dict[str, Any]:
    """Return the whole description. `base`: the path that the operations' paths begin after."""
    operations = tuple(operations)
    kinds = list(_kinds(operations))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    by_kind = dict(zip(map(_key, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(base + operation.path, {})[operation.method.lower()] = _operation(operation, by_kind, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "why502",
            "version": __version__,
            "description": "The records of `why502 watch`, and the answers of the commands. Nothing here changes the machine.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _kinds(operations: Iterable[Operation]) -> Iterator[Any]:
    """Yield the types, each once."""
    found: dict[str, Any] = {_key(Problem): Problem}
    for operation in operations:
        for kind in (operation.answer, operation.given, *([operation.body] if operation.body is not None else [])):
            found[_key(kind)] = kind
    yield from found.values()


def _key(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{kind}"


def _operation(operation: Operation, by_kind: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    reasons = _ALWAYS | {status: _SOMETIMES[status] for status in operation.statuses}
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": list(_parameters(operation, by_kind, components)),
        "responses": {
            "200": {"description": "The answer.", "content": {JSON: {"schema": by_kind[_key(operation.answer)]}}},
            **{
                str(status): {"description": reason, "content": {JSON: {"schema": by_kind[_key(Problem)]}}}
                for status, reason in sorted(reasons.items())
            },
        },
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": by_kind[_key(operation.body)]}}}
    elif operation.takes_file:
        found["requestBody"] = {"required": True, "content": {kind: {"schema": {}} for kind in FILES}}
    return found


def _parameters(operation: Operation, by_kind: dict[str, Any], components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    schema = components[by_kind[_key(operation.given)]["$ref"].rpartition("/")[2]]
    required = schema.get("required", ())
    for name, property_ in schema.get("properties", {}).items():
        is_in_path = name in operation.in_path
        kind = dict(property_)
        yield {
            "name": name,
            "in": "path" if is_in_path else "query",
            "required": is_in_path or name in required,
            **({"description": kind.pop("description")} if "description" in kind else {}),
            "schema": kind,
        }
