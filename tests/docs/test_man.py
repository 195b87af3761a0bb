"""The man page: made from the help texts, and readable by man(1)."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess

import pytest
from asking import ROOT

LOADER = importlib.machinery.SourceFileLoader("man", str(ROOT / "scripts" / "man"))
SPEC = importlib.util.spec_from_loader("man", LOADER)
assert SPEC
man = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(man)


def test_it_matches_the_help(update: bool) -> None:
    if update:
        man.PAGE.write_text(man.page())
    assert man.PAGE.read_text() == man.page(), "run scripts/man"


def test_it_names_every_command() -> None:
    page = man.PAGE.read_text()
    assert all(f".SS {man.escaped(path)}" in page for path, _ in man.commands(man.cli, "why502"))


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_it_is_set_without_a_warning() -> None:
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", man.PAGE], capture_output=True, text=True, check=False)
    assert done.stderr == ""
