"""On a terminal, `why502 generate nginx` asks at most three questions, and then says how to repeat it without them."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from asking import PROGRAM


def asked(tmp_path: Path, *argv: str, answers: list[str]) -> tuple[int, str, str]:
    """Run a command with a terminal as its input; return status, output and messages."""
    ours, theirs = pty.openpty()
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen([*PROGRAM, *argv], stdin=theirs, stdout=stdout, stderr=stderr)
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        status = process.wait(60)
        os.close(ours)
    return status, out.read_text(), err.read_text()


def test_three_questions_make_a_site(tmp_path: Path) -> None:
    status, out, err = asked(tmp_path, "generate", "nginx", answers=["127.0.0.1:3000, 127.0.0.1:3001", "shop.example", "off"])
    assert status == 0, err
    assert "--app 127.0.0.1:3000 --app 127.0.0.1:3001 --domain shop.example --tls off" in out.splitlines()[1]
    assert [err.count(question) for question in ("listen?", "For which domain?", "TLS: auto")] == [1, 1, 1]


@pytest.mark.thorough
def test_what_is_given_is_not_asked(tmp_path: Path) -> None:
    status, out, err = asked(tmp_path, "generate", "nginx", "--domain", "shop.example", "--tls", "off", answers=["3000"])
    assert status == 0, err
    assert "server 127.0.0.1:3000;" in out
    assert "domain?" not in err


@pytest.mark.parametrize("answer", ["a;b", "nonsense"])
def test_a_bad_answer_is_refused_with_the_option(tmp_path: Path, answer: str) -> None:
    status, out, err = asked(tmp_path, "generate", "nginx", answers=[answer, "", "off"])
    assert (status, out) == (2, "")
    assert f"--app '{answer}' is not an address" in err
