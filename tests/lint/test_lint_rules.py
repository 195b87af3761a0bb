"""Each rule reports its findings and no others; if it claims that nginx rejects something, nginx does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import lint_samples_config
import lint_samples_mistakes
import lint_samples_more
import lint_samples_proxy
import lint_samples_server
import pytest
from lint_sample import MAIN, Sample, found

from why502.diagnosis.causes import CAUSES
from why502.linter.engine import RULES

SAMPLES = (
    *lint_samples_config.SAMPLES,
    *lint_samples_mistakes.SAMPLES,
    *lint_samples_more.SAMPLES,
    *lint_samples_proxy.SAMPLES,
    *lint_samples_server.SAMPLES,
)
_IDS = [f"{sample.rule}-{RULES[sample.rule].name}-{number}" for number, sample in enumerate(SAMPLES)]


def test_every_rule_has_a_sample() -> None:
    assert {sample.rule for sample in SAMPLES} == {rule.id for rule in RULES.values() if rule.product == "nginx"}


def test_rules_are_many_and_tied_to_causes() -> None:
    assert len(RULES) >= 60
    for rule in RULES.values():
        assert rule.cause in CAUSES or rule.cause == "unknown", rule.id
        assert rule.message.endswith(".") and rule.reason and "\n" not in rule.message, rule.id
        assert rule.name == rule.name.lower().replace("_", "-").replace(" ", "-")


@pytest.mark.parametrize("sample", SAMPLES, ids=_IDS)
def test_a_rule_speaks(sample: Sample) -> None:
    risks = found({MAIN: sample.text(sample.bad), **(sample.bad_files or {})}, sample.version)
    (told, *_) = [risk for risk in risks if risk.rule == sample.rule] or [None]
    assert told is not None, [(risk.rule, risk.message) for risk in risks]
    assert told.severity is not None and told.cause == RULES[sample.rule].cause
    assert told.at is not None and told.at.line > 0
    assert told.remedies and all(remedy.message for remedy in told.remedies)


@pytest.mark.parametrize("sample", SAMPLES, ids=_IDS)
def test_a_rule_is_silent(sample: Sample) -> None:
    files = {MAIN: sample.text(sample.good), **(sample.good_files if sample.good_files is not None else sample.bad_files or {})}
    assert [risk for risk in found(files, sample.version) if risk.rule == sample.rule] == []


def _tested(text: str, directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "logs").mkdir(exist_ok=True)
    (directory / "nginx.conf").write_text(
        f"pid nginx.pid; error_log stderr;\n{text.replace('http {', 'http { access_log off;', 1)}"
    )
    command = ["nginx", "-t", "-p", str(directory), "-c", "nginx.conf"]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.real
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.refused], ids=lambda sample: sample.rule)
def test_nginx_rejects_the_bad_samples(sample: Sample, tmp_path: Path) -> None:
    bad, good = _tested(sample.text(sample.bad), tmp_path), _tested(sample.text(sample.good), tmp_path)
    assert bad.returncode != 0, bad.stderr
    assert good.returncode == 0, good.stderr
