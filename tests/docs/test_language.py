"""Words that a native technical writer would not use: in the documentation, in help, and in messages.

Each pattern was frequent here once, and has a plain replacement. The list is short on purpose: it has no false alarms.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ROOT

AVOID = {
    r"anew": "again",
    r"for ever": "forever",
    r"begin of": "start of",
    r"in its stead": "instead",
    r"small letters": "lower-case letters",
    r"(?:mends|mended|mending)": "fix, repair",
    r"(?:heeds|heeded)": "respect, take into account",
    r"whoever": "the user who",
    r"(?:is|are|was|were) told(?! apart)": "gets a message, is reported",
    r"it is said": "it is reported",
    r"(?:has|have) (?:a|no) meaning": "applies to, has no effect",
    r"for so long": "for this long",
    r"(?<!there )is no (?:failure|error|file|address|directory|number|cause|configuration|request|alarm|proof)\b": "is not a",
    r"(?:user|process|namespace|log|page|file|directory|location) of its own": "separate, its own, private",
    r"not (?:there )?any more": "no longer",
    r"what (?:came|became) of (?:it|them)": "the result",
    r"played again": "run again",
    r"without rights": "unprivileged",
}
PATTERN = re.compile(rf"\b(?:{'|'.join(AVOID)})\b", re.IGNORECASE)
_CODE = re.compile(r"```.*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)", re.DOTALL)
_HIDDEN = ("why502/lab/", "why502/redaction/")  # scripts of scenes; lists of words
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *(ROOT / "docs").rglob("*.md"),
]


def plain_text(page: Path) -> str:
    """Return the text of a page without code, which quotes other programs."""
    return _CODE.sub(" ", page.read_text())


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of what a module may print: strings of three words or more that are not its docstrings."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.count(" ") > 1
            and id(node) not in hidden
        ):
            yield node.lineno, node.value


def test_the_pages_are_in_plain_english() -> None:
    found = [(page.name, match[0]) for page in sorted(PAGES) for match in PATTERN.finditer(plain_text(page))]
    assert found == []


def test_messages_are_in_plain_english() -> None:
    found = [
        (str(path.relative_to(ROOT)), line, match[0])
        for path in sorted((ROOT / "why502").rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(_HIDDEN)
        for line, text in texts(path)
        if (match := PATTERN.search(text))
    ]
    assert found == []


def test_the_help_is_in_plain_english() -> None:
    assert PATTERN.findall((ROOT / "docs" / "man" / "why502.1").read_text()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the file is written anew", True),
        ("it has a log of its own", True),
        ("a timeout is no failure of the backend", True),
        ("there is no file", False),
        ("the two are told apart", False),
        ("the user who runs it", False),
    ],
)
def test_the_patterns(text: str, expected: bool) -> None:
    assert bool(PATTERN.search(text)) == expected
