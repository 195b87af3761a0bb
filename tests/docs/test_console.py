"""Console blocks of the documentation: every `$ why502 …` in them is run, and its output must match the text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from asking import ROOT, ask
from click.testing import CliRunner

from why502.cli.main import cli

BLOCK = re.compile(r"(?:<!-- bundle: (?P<bundle>\S+) -->\n+)?```console\n(?P<text>.*?)```\n", re.DOTALL)
PROMPT = re.compile(r"^\$ (?:sudo )?(why502 .*)\n", re.MULTILINE)
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


class Block(NamedTuple):
    """One command of one block."""

    page: Path
    bundle: str
    line: str
    printed: str


def blocks(page: Path) -> list[Block]:
    """Return every command of a page, with the text below it."""
    found = []
    for match in BLOCK.finditer(page.read_text()):
        _, *parts = PROMPT.split(match["text"])
        found += [Block(page, match["bundle"] or "", line, text) for line, text in zip(parts[::2], parts[1::2], strict=True)]
    return found


ALL = [block for page in PAGES if page.exists() for block in blocks(page)]


def said(block: Block) -> str:
    """Return what the command prints."""
    argv = shlex.split(block.line)[1:]
    if block.bundle:
        argv += ["--bundle", str(ROOT / block.bundle)]
    if "--help" in argv:
        return CliRunner().invoke(cli, argv, prog_name="why502").output
    answer = ask(*argv)
    return answer.out + answer.err


def test_the_readme_shows_a_diagnosis() -> None:
    assert any(block.page.name == "README.md" and block.line == "why502 diagnose" and "PROBLEM" in block.printed for block in ALL)


@pytest.mark.parametrize("block", ALL, ids=lambda block: f"{block.page.name}: {block.line}")
def test_a_block_is_what_the_command_prints(block: Block, update: bool) -> None:
    told = said(block)
    if update and "[…]" not in block.printed:
        page = block.page.read_text()
        block.page.write_text(page.replace(f"{block.line}\n{block.printed}", f"{block.line}\n{told.rstrip()}\n", 1))
        return
    pattern = ".*".join(re.escape(part) for part in re.split(r"\[…\]\n?", block.printed.rstrip()))
    assert re.fullmatch(pattern, told.rstrip(), re.DOTALL), told
