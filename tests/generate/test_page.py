"""The example on docs/generate.md is what its command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from sites import make

PAGE = Path(__file__).parents[2] / "docs" / "generate.md"
EXAMPLE = re.compile(r"`why502 generate nginx (?P<line>[^`]+)`:\n\n```nginx\n(?P<text>.*?)```\n", re.DOTALL)


def test_the_example_is_what_the_command_prints(update: bool) -> None:
    page = PAGE.read_text()
    found = EXAMPLE.search(page)
    assert found
    printed = make("nginx", shlex.join(shlex.split(found["line"]))).files[0].document.body
    if update:
        page = page[: found.start("text")] + printed + page[found.end("text") :]
        PAGE.write_text(page)
    assert EXAMPLE.search(page)["text"] == printed  # type: ignore[index]
