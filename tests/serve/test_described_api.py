"""The description of the API is valid and complete, and clients get what it tells: schemathesis asks a running server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from recorded_site import Open
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from served import recorded

from why502.serve.api.description import described, operations

FILES = ("lint", "diagnoseBundle", "reportSentLog", "reportLog")  # each request starts a process
IS_LONG = "WHY502_WEB_LONG" in os.environ
EXAMPLES = 200 if IS_LONG else 15


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_every_schema_is_valid_and_every_reference_leads_somewhere() -> None:
    found = json.loads(json.dumps(described()))
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in references(found):
        assert reference.removeprefix("#/components/schemas/") in found["components"]["schemas"]
    names = [operation["operationId"] for path in found["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(list(operations()))


def test_every_route_of_the_api_is_described(opened: Open) -> None:
    api = opened()
    found = api.get("/api/1/openapi.json").json()
    routes = {(f"/api/1{one.path}", one.method.lower()) for one in operations()}
    assert routes == {(path, method) for path, methods in found["paths"].items() for method in methods}


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with recorded(tmp_path_factory.mktemp("described")) as found:
        yield found


@pytest.mark.real
def test_a_client_gets_what_is_described(url: str) -> None:
    """Values that fit the description and values that do not: never a 5xx, and always an answer that is described."""
    asked = []
    for found in schemathesis.openapi.from_url(f"{url}/api/1/openapi.json").get_all_operations():
        operation = found.ok()
        name = operation.definition.raw["operationId"]
        if name in FILES and not IS_LONG:
            continue

        modes = operation.as_strategy(GenerationMode.POSITIVE) | operation.as_strategy(GenerationMode.NEGATIVE)

        @settings(
            max_examples=EXAMPLES // 5 if name in FILES else EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=modes)
        def check(case: schemathesis.Case) -> None:
            answer = case.call(timeout=60)
            if answer.status_code not in (413, 414):  # no sign that a value was accepted, as schemathesis takes them
                case.validate_response(answer, excluded_checks=[positive_data_acceptance])  # `since` is not any text

        check()
        asked.append(name)
    left_out = {operation.name for operation in operations()} - set(asked)
    assert left_out == {"openapi", *(() if IS_LONG else FILES)}  # schemathesis does not ask where it has the description from
