"""The JSON contract: the output validates against the schemas that `why502 schema` prints,
and these say what was promised.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from asking import GOLDEN, ask

from why502.render import contract
from why502.render.logs.contract import Logs

BUNDLES = sorted(GOLDEN.glob("*.why502"))
# Every field of the contract, by object. Fields may be added, but none of these may be removed.
PROMISED = {
    "Diagnosis": "schema why502 taken_at window verdict findings checks gaps traffic",
    "Finding": (
        "cause layer confidence target proxy route statuses failures first_seen last_seen ongoing message evidence remedies"
    ),
    "Evidence": "message source weight",
    "Remedy": "message safe steps",
    "Step": "edit run",
    "Edit": "file line diff",
    "Route": "server location file line",
    "Check": "id title status detail",
    "Gap": "source reason hint",
    "Traffic": "requests by_status",
    "Window": "since until",
    "Explanation": "schema input kind proxy gateway_failure cause candidates fields message next remedies",
    "Candidate": "cause layer confidence message",
}


def printed(name: str) -> Any:
    """Return a schema as printed by the command."""
    answer = ask("schema", name)
    assert (answer.status, answer.err) == (0, "")
    return json.loads(answer.out)


@pytest.mark.parametrize("name", ["diagnosis", "explanation", "reference", "lint", "logs", "bundle", "incident", "incidents"])
def test_each_schema_is_valid(name: str) -> None:
    schema = printed(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"why502.{name}/{2 if name == 'bundle' else 1}"
    assert json.loads(ask("schema").out)[name] == schema


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_output_matches_the_schema(bundle: Any, form: str) -> None:
    validator = jsonschema.Draft202012Validator(printed("diagnosis"), format_checker=jsonschema.FormatChecker())
    validator.validate(json.loads(ask("diagnose", "--bundle", str(bundle), "--format", form).out))


@pytest.mark.parametrize("kind", PROMISED)
def test_no_promised_field_is_missing(kind: str) -> None:
    definitions = printed("diagnosis")["$defs"] | printed("explanation")["$defs"]
    assert set(PROMISED[kind].split()) <= definitions[kind]["properties"].keys()
    assert definitions[kind].get("additionalProperties") is not False  # fields may be added


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fine"},
        {"schema": "why502.diagnosis/2"},
        {"findings": [{}]},
        {"checks": [{"id": "x", "message": "x", "status": "maybe", "detail": ""}]},
        {"traffic": {"requests": -1, "by_status": {}, "failures": 0}},
        {"gaps": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(change: dict[str, Any]) -> None:
    right = json.loads(ask("diagnose", "--bundle", str(BUNDLES[0]), "--format", "json").out)
    validator = jsonschema.Draft202012Validator(printed("diagnosis"))
    validator.validate(right)
    assert list(validator.iter_errors(right | change))


def test_a_step_is_a_change_or_a_command() -> None:
    schema = contract.schema_of(contract.Remedy, "remedy")
    validator = jsonschema.Draft202012Validator(schema)
    run, edit = {"run": ["nginx", "-t"]}, {"edit": {"file": "/a", "line": 1, "diff": ""}}
    assert validator.is_valid({"message": "", "safe": False, "steps": [run, edit]})
    assert not validator.is_valid({"message": "", "safe": False, "steps": [run | edit]})
    assert not validator.is_valid({"message": "", "safe": False, "steps": [{}]})


@pytest.mark.parametrize("cause", ["wrong-port", "dns-host-not-found"])
def test_an_explanation_as_promised_is_accepted(cause: str) -> None:
    example = {
        "schema": "why502.explanation/1",
        "input": "connect() failed",
        "kind": "log-line",
        "proxy": "nginx",
        "gateway_failure": True,
        "cause": cause,
        "candidates": [{"cause": cause, "layer": "proxy", "confidence": 0.6, "message": "x"}],
        "fields": {"at": None, "level": "error", "errno": 111, "phase": "connect", "status": 502},
        "message": "x",
        "next": ["ss -ltn"],
        "remedies": [],
    }
    validator = jsonschema.Draft202012Validator(printed("explanation"))
    validator.validate(example)
    assert not validator.is_valid(example | {"kind": "poem"})
    assert not validator.is_valid(example | {"cause": "Not An Id"})


def test_reports_and_findings_match_their_schemas(tmp_path: Path) -> None:
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        "events {}\nhttp { server { location / { proxi_pass http://$host:3000; proxy_pass http://$host; } } }\n"
    )
    log = tmp_path / "access.log"
    line = '10.1.0.1 - - [21/Nov/2026:08:{:02d}:00 +0000] "GET /a/{} HTTP/1.1" {} 157 "-" "curl/8"\n'
    log.write_text("".join(line.format(at % 60, at % 7, 502 if at % 5 else 200) for at in range(600)) + "unparsed\n")
    for name, argv in (
        ("lint", ("lint", str(configuration))),
        ("logs", ("logs", str(log))),
        ("reference", ("explain",)),
    ):
        found = json.loads(ask(*argv, "--format", "json").out)
        jsonschema.Draft202012Validator(printed(name), format_checker=jsonschema.FormatChecker()).validate(found)
        assert set(found) == set(printed(name)["$defs"][name.title()]["properties"])


def test_the_types_of_a_log_report_have_all_that_is_written(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text('10.1.0.1 - - [21/Nov/2026:08:00:00 +0000] "GET /a HTTP/1.1" 502 157 "-" "curl/8"\n' * 30)
    written = json.loads(ask("logs", str(log), "--format", "json").out)
    assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(written, Logs))) == written
