"""The library as its users see it: typed functions, and nothing loaded before it is needed."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from asking import GOLDEN, ROOT

import why502
from why502.linter.engine import RULES
from why502.model.finding import Verdict


def test_a_bundle_is_diagnosed_in_two_lines() -> None:
    snapshot = why502.load((GOLDEN / "wrong-port.why502").read_bytes())
    diagnosis = why502.diagnose(snapshot)
    assert (diagnosis.verdict, diagnosis.findings[0].cause) == (Verdict.PROBLEM, "wrong-port")
    assert why502.load(why502.save(snapshot)) == snapshot


def test_a_line_is_explained() -> None:
    assert why502.explain("AH01102").candidates


def test_a_bundle_has_its_plan() -> None:
    snapshot = why502.load((GOLDEN / "wrong-port.why502").read_bytes())
    (plan, *_) = why502.plan(why502.diagnose(snapshot), snapshot)
    assert (plan.cause, len(plan.edits), [run.argv[-1] for run in plan.runs]) == ("wrong-port", 1, ["-t", "reload"])


def test_a_directory_is_linted_as_often_as_one_likes(tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("events { }\nhttp { server { location / { proxy_pass http://0.0.0.0:3000; } } }\n")
    for _ in range(2):  # its imports must not replace it
        assert "wildcard-target" in {RULES[risk.rule].name for risk in why502.lint(str(tmp_path))}


@pytest.mark.real
def test_this_machine_is_examined() -> None:
    snapshot = why502.collect(probes=False)
    assert snapshot.host
    assert why502.diagnose(snapshot).taken_at == snapshot.taken_at


@pytest.mark.parametrize("name", [name for name in why502.__all__ if not name.startswith("_")])
def test_each_verb_is_documented_and_typed(name: str) -> None:
    verb = getattr(why502, name)
    assert verb.__doc__
    assert all(item.annotation for item in inspect.signature(verb).parameters.values())


def test_the_import_loads_no_optional_modules() -> None:
    program = (
        "import sys, why502; sys.exit(bool({'msgspec', 'click', 'why502.model', 'why502.diagnosis.engine'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_version_has_one_form_everywhere() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == why502.__version__
    assert (ROOT / "why502" / "py.typed").exists()


def test_the_readme_names_every_command() -> None:
    from why502.cli.main import cli

    readme = (ROOT / "README.md").read_text()
    assert [name for name in cli.list_commands(None) if f"`why502 {name}" not in readme] == []
