"""Machine-readable output: SARIF as its standard requires, GitHub's annotations, JUnit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from asking import ROOT, ask

SHOP = ROOT / "tests/data/lint/shop.conf"
LOCATION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["uri"],
    "properties": {
        "uri": {"type": "string", "format": "uri-reference", "pattern": r"^[\w./%:~+-]+$"},
        "uriBaseId": {"const": "ROOT"},
    },
}
MESSAGE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
}
LEVEL = {"enum": ["note", "warning", "error"]}
REGION = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "startLine": {"type": "integer", "minimum": 1},
        "startColumn": {"type": "integer", "minimum": 1},
        "byteOffset": {"type": "integer", "minimum": 0},
        "byteLength": {"type": "integer", "minimum": 0},
    },
}


def of(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def many(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, **more}


RULE = of(
    ["id"],
    id={"type": "string"},
    name={"type": "string"},
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=of([], level=LEVEL, rank={"type": "number", "minimum": 0, "maximum": 100}),
    properties=of([], tags=many({"type": "string"}, uniqueItems=True)),
)
RESULT = of(
    ["message"],
    ruleId={"type": "string"},
    ruleIndex={"type": "integer", "minimum": 0},
    level=LEVEL,
    message=MESSAGE,
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
    locations=many(of([], physicalLocation=of(["artifactLocation"], artifactLocation=LOCATION, region=REGION))),
    fixes=many(
        of(
            ["artifactChanges"],
            description=MESSAGE,
            artifactChanges=many(
                of(
                    ["artifactLocation", "replacements"],
                    artifactLocation=LOCATION,
                    replacements=many(
                        of(["deletedRegion"], deletedRegion=REGION, insertedContent=of([], text={"type": "string"})), minItems=1
                    ),
                ),
                minItems=1,
            ),
        ),
        minItems=1,
    ),
)
SARIF = of(  # only what sections 3.13 to 3.57 of SARIF 2.1.0 require of the properties that we write
    ["$schema", "version", "runs"],
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs=many(
        of(
            ["tool"],
            tool=of(
                ["driver"], driver=of(["name"], name={"type": "string"}, semanticVersion={"type": "string"}, rules=many(RULE))
            ),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results=many(RESULT),
            invocations=many(
                of(
                    ["executionSuccessful"],
                    executionSuccessful={"type": "boolean"},
                    toolExecutionNotifications=many(of(["message"], level=LEVEL, message=MESSAGE)),
                )
            ),
            originalUriBaseIds=of([], ROOT=of(["uri"], uri={"type": "string", "pattern": "^file:///.*/$"})),
        )
    ),
)


def sarif(*argv: str) -> dict[str, Any]:
    answer = json.loads(ask("lint", "--format", "sarif", "--nginx-version", "1.24.0", *argv).out)
    jsonschema.validate(answer, SARIF)
    assert isinstance(answer, dict)
    return answer


def test_sarif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (run,) = sarif(str(SHOP))["runs"]
    assert len(run["results"]) == 5
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {
            "uri": "tests/data/lint/shop.conf",
            "uriBaseId": "ROOT",
        }
    assert "W502-028" not in {result["ruleId"] for result in run["results"]}  # a comment suppresses it
    fixes = [fix for result in run["results"] for fix in result.get("fixes", ())]
    assert fixes and fixes[0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"]


def test_sarif_of_nothing_and_of_odd_names(tmp_path: Path) -> None:
    path = tmp_path / "a b&ü.conf"
    path.write_text("server { listen 80; }\n")
    assert sarif(str(path))["runs"][0]["results"] == []
    path.write_text("server { location / { proxy_pass http://localhost:1; } }\n")
    (result,) = sarif(str(path))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("a%20b%26%C3%BC.conf")


def test_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = ask("lint", str(SHOP), "--format", "github", "--nginx-version", "1.24.0").out.splitlines()
    assert len(lines) == 5
    pattern = r"::(error|warning|notice) file=tests/data/lint/shop\.conf,line=\d+,col=\d+,title=W502-\d{3} [\w.-]+::\S.*"
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert lines[0].startswith("::warning file=tests/data/lint/shop.conf,line=14,col=9,title=W502-040")


def test_github_keeps_a_name_from_ending_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a,b::%0A.conf"
    path.write_text("server { location / { proxy_pass http://localhost:1; } }\n")
    (line,) = ask("lint", str(path), "--format", "github").out.splitlines()
    assert "a%2Cb%3A%3A%250A.conf,line=1," in line


def test_junit() -> None:
    suites = ET.fromstring(ask("lint", str(SHOP), "--format", "junit", "--nginx-version", "1.24.0").out.encode())
    assert (suites.tag, suites.get("tests"), suites.get("failures")) == ("testsuites", "5", "4")
    (suite,) = suites
    assert len(suite) == 5 and len(suite.findall("testcase/failure")) == 4 and len(suite.findall("testcase/system-out")) == 1


def test_junit_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("server { listen 80; }\n")
    suites = ET.fromstring(ask("lint", str(path), "--format", "junit").out.encode())
    assert (suites.get("tests"), suites.get("failures")) == ("1", "0")


def test_sarif_counts_columns_in_characters(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text('server { listen 80; location / { add_header A "ü€𝄞"; proxy_pass http://0.0.0.0:1; } }\n')
    run = sarif(str(path))["runs"][0]
    (result,) = [result for result in run["results"] if result["ruleId"] == "W502-028"]
    assert run["columnKind"] == "unicodeCodePoints"
    column = result["locations"][0]["physicalLocation"]["region"]["startColumn"]
    assert path.read_text()[column - 1 :].startswith("proxy_pass")


def test_sarif_from_the_root_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.conf"
    path.write_text("server { listen 80; location / { proxy_pass http://0.0.0.0:1; } }\n")
    monkeypatch.chdir("/")
    run = sarif(str(path).removeprefix("/"))["runs"][0]
    assert {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]} == {path.as_uri()}
    assert "originalUriBaseIds" not in run and ask("lint", str(path)).out.startswith(f"{path}:1:")


def test_findings_that_differ_only_in_their_line_are_shown_once(tmp_path: Path) -> None:
    servers = "".join(f" server one 127.0.0.1:{port}\n" for port in range(8001, 8026))
    path = tmp_path / "haproxy.cfg"
    path.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n option redispatch\n"
        f"frontend web\n bind :80\n default_backend app\nbackend app\n{servers}"
    )
    text = ask("lint", str(path)).out
    assert text.count("is also defined at") == 1
    assert "    the same in lines 13, 14," in text and "and 3 more" in text
    assert "24 errors" in text  # each place counts
    found = json.loads(ask("lint", str(path), "--format", "json").out)
    assert [each["line"] for each in found["findings"] if each["rule"] == "W502-310"] == list(range(12, 36))
