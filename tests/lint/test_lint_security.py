"""`why502 lint --security`: gixy-ng's findings beside ours, in every format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from asking import ask

CONF = """events {}
http { server { listen 80; server_name a.example;
  location /s { alias /srv/; }
  location / { proxy_pass http://0.0.0.0:1; }
} }
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "nginx.conf"
    path.write_text(CONF)
    return path


def test_the_findings_are_merged(site: Path) -> None:
    answer = ask("lint", str(site), "--security", "--format", "json", "--nginx-version", "newest")
    found = {(risk["rule"], risk["line"]): risk["severity"] for risk in json.loads(answer.out)["findings"]}
    assert found["gixy-alias-traversal", 3] == "warning" and found["W502-028", 4] == "warning" and answer.status == 1
    alone = json.loads(ask("lint", str(site), "--format", "json", "--nginx-version", "newest").out)["findings"]
    assert not [risk for risk in alone if risk["rule"].startswith("gixy")]


@pytest.mark.parametrize("format_", ["text", "sarif", "github", "junit"])
def test_every_format_shows_them(site: Path, format_: str) -> None:
    answer = ask("lint", str(site), "--security", "--format", format_, "--nginx-version", "newest")
    assert "gixy-alias-traversal" in answer.out and "W502-028" in answer.out


def test_the_baseline_holds_them(site: Path, tmp_path: Path) -> None:
    baseline = str(tmp_path / "b.json")
    options = ("--security", "--nginx-version", "newest")
    assert ask("lint", str(site), *options, "--write-baseline", baseline).status == 0
    assert "gixy-" not in ask("lint", str(site), *options, "--baseline", baseline).out


def test_without_gixy(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    answer = ask("lint", str(site), "--security", "--nginx-version", "newest")
    assert answer.status == 2 and answer.err.splitlines() == ["why502: gixy is not installed", "Install it: pip install gixy-ng"]


def test_an_answer_that_is_none(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "gixy"
    fake.write_text("#!/bin/sh\necho nonsense\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    answer = ask("lint", str(site), "--security", "--nginx-version", "newest")
    assert answer.status == 1 and "gixy: its answer is not JSON" in answer.out and "W502-028" in answer.out
