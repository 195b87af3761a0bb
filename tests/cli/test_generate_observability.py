"""`why502 generate alerts`, `alertmanager` and `dashboard`: on standard output, into a directory, and refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from asking import TWO_LINES, ask

KINDS = {
    ("alerts",): ["why502.rules.yml"],
    ("alertmanager",): ["why502.alertmanager.yml"],
    ("dashboard",): ["why502-member.json", "why502-now.json", "why502-watcher.json"],
    ("dashboard", "now"): ["why502-now.json"],
}


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_files_in_a_directory(kind: tuple[str, ...], tmp_path: Path) -> None:
    for _ in range(2):  # its own files are replaced
        answer = ask("generate", *kind, "-o", str(tmp_path))
        assert (answer.status, answer.out) == (0, "")
        assert sorted(os.listdir(tmp_path)) == KINDS[kind]
        assert answer.err == "".join(f"why502: wrote {tmp_path}/{name}\n" for name in KINDS[kind])
    assert ask("generate", *kind, "-o", str(tmp_path), "-q").err == ""
    assert all(yaml.safe_load((tmp_path / name).read_text()) for name in KINDS[kind])


def test_standard_output() -> None:
    assert yaml.safe_load(ask("generate", "alerts").out)["groups"]
    assert yaml.safe_load(ask("generate", "alerts", "--format", "kubernetes").out)["kind"] == "PrometheusRule"
    assert yaml.safe_load(ask("generate", "alertmanager").out)["inhibit_rules"]
    assert json.loads(ask("generate", "dashboard", "member").out)["uid"] == "why502-member"


def test_the_objective_is_in_rules_and_dashboard() -> None:
    assert "why502:failure_ratio:rate5m > 0.072\n" in ask("generate", "alerts", "--objective", "99.5").out
    assert "/ 0.005" in ask("generate", "dashboard", "now", "--objective", "99.5").out


@pytest.mark.parametrize(
    "words",
    [
        ("alerts", "--objective", "90"),
        ("alerts", "--objective", "100"),
        ("alerts", "--objective", "nine"),
        ("alerts", "--format", "toml"),
        ("dashboard",),
        ("dashboard", "unknown"),
        ("dashboard", "../now"),
        ("dashboard", "now", "--objective", "0"),
        ("alerts", "-o", "/nonexistent"),
        ("alerts", "-o", "/proc"),
        ("alerts", "-o", "/dev/null"),
        ("unknown",),
    ],
    ids=" ".join,
)
def test_bad_input_is_two_lines(words: tuple[str, ...]) -> None:
    answer = ask("generate", *words)
    assert (answer.status, answer.out) == (2, "")
    assert TWO_LINES.fullmatch(answer.err), answer.err


def test_drift_is_shown(tmp_path: Path) -> None:
    words = ("generate", "alerts", "-o", str(tmp_path))
    file = tmp_path / "why502.rules.yml"
    assert ask(*words, "--check").out == f"{file} is missing\n"
    ask(*words)
    assert (ask(*words, "--check").status, ask(*words, "--check").out) == (0, f"{file} is unchanged\n")
    file.write_text(file.read_text().replace("groups:", "groups: # mine", 1))
    drift = ask(*words, "--check")
    assert drift.status == 1 and f"{file} differs\n" in drift.out and "-groups: # mine" in drift.out
    assert "-groups: # mine" in ask(*words).err  # what is replaced is shown
    assert ask(*words, "--check").status == 0
    assert ask("generate", "alerts", "--check").status == 2


def test_a_file_of_somebody_else_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "why502-now.json"
    theirs.write_text("{}")
    answer = ask("generate", "dashboard", "-o", str(tmp_path))
    assert answer.status == 2 and "was not written by why502" in answer.err
    assert os.listdir(tmp_path) == ["why502-now.json"] and theirs.read_text() == "{}"
