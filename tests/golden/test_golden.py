"""The output of why502 for recorded bundles, word for word. `--update` rewrites it; read the diff."""

from __future__ import annotations

from pathlib import Path

import pytest
from asking import ask

HERE = Path(__file__).parent
CASES = {
    "wrong-port.txt": ("wrong-port", "text", 1),
    "wrong-port.json": ("wrong-port", "json", 1),
    "wrong-port.md": ("wrong-port", "markdown", 1),
    "wrong-port.html": ("wrong-port", "html", 1),
    "two-faults.txt": ("two-faults", "text", 1),
    "healthy.txt": ("healthy", "text", 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_word_for_word(name: str, update: bool) -> None:
    bundle, form, status = CASES[name]
    answer = ask("diagnose", "--bundle", str(HERE / f"{bundle}.why502"), "--format", form)
    assert (answer.status, answer.err) == (status, "")
    if update:
        (HERE / name).write_text(answer.out)
    assert answer.out == (HERE / name).read_text()
