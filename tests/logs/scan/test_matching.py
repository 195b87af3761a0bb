"""Patterns match what the shell's do, and links lead nobody in circles."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from why502.logs.scan.matching import matching

NAMES = ("a.log", "b.txt", ".hidden.log", "x/a.log", "x/y/a.log", "x/.z/a.log", "[odd]/a.log")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    "pattern", ["*", "*.log", "x/*", "**", "**/*.log", "x/**", "*/**/*.log", "**/y/*", "**/y/**", "n*", "a**"]
)
def test_matches_as_the_shell_does(tree: Path, pattern: str) -> None:
    whole = f"{tree}/{pattern}"
    found = sorted(matching(whole))
    files = [path for path in found if not os.path.isdir(path)]
    assert files == sorted({path for path in glob.glob(whole, recursive=True) if not os.path.isdir(path)})


def test_a_pattern_may_be_relative(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert sorted(path for path in matching("**") if path.endswith("a.log")) == ["[odd]/a.log", "a.log", "x/a.log", "x/y/a.log"]


def test_links_to_directories_are_followed_once(tree: Path) -> None:
    for name in ("one", "two", "x/three"):
        (tree / name).symlink_to(tree)
    (tree / "x/loop").symlink_to("loop")
    elsewhere = tree.with_name(f"{tree.name}-elsewhere")
    elsewhere.mkdir()
    (elsewhere / "c.log").touch()
    (tree / "linked").symlink_to(elsewhere)
    found = [os.path.relpath(path, tree) for path in matching(f"{tree}/**/*.log")]
    assert sorted(found) == ["[odd]/a.log", "a.log", "linked/c.log", "x/a.log", "x/y/a.log"]
