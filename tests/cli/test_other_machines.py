"""`--host ssh://…` on separate machines: network namespaces, each with a real sshd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import TWO_LINES

SCENE = Path(__file__).parent / "two_machines.py"
SPACE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
pytestmark = [pytest.mark.real, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outputs of the scene's command lines, by name."""
    if os.geteuid() != 0 or subprocess.run([*SPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("makes namespaces of its own, needs root")
    if missing := [name for name in ("nginx", "ssh", "/usr/sbin/sshd", "ssh-keygen", "ip", "curl") if not shutil.which(name)]:
        pytest.skip(f"needs {', '.join(missing)}")
    done = subprocess.run(
        [*SPACE, sys.executable, str(SCENE), str(tmp_path_factory.mktemp("ssh"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_one_machine_is_looked_at_from_afar(answers: dict[str, Any]) -> None:
    answer = answers["proxy"]
    assert (answer["status"], answer["err"]) == (1, "")
    found = json.loads(answer["out"])
    assert found["hosts"] == ["m1"]
    assert found["traffic"]["by_status"] == {"502": 3}
    first = found["findings"][0]
    assert (first["cause"], first["target"], first["failures"]) == ("backend-not-running", "10.9.8.2:3000", 3)


def test_the_backends_machine_shows_the_reason(answers: dict[str, Any]) -> None:
    """The order in which the hosts are named does not matter."""
    answer = answers["both"]
    assert (answer["status"], answer["err"]) == (1, "")
    found = json.loads(answer["out"])
    assert sorted(found["hosts"]) == ["m1", "m2"]
    first = found["findings"][0]
    assert (first["cause"], first["target"]) == ("wrong-port", "10.9.8.2:3000")
    assert "10.9.8.2:3001" in first["message"]


def test_a_machine_that_cannot_be_reached_is_a_gap_beside_others(answers: dict[str, Any]) -> None:
    found = json.loads(answers["one-away"]["out"])
    assert found["findings"][0]["target"] == "10.9.8.2:3000"
    (gap,) = [gap for gap in found["gaps"] if gap["source"] == "10.9.8.1:9"]
    assert "Connection refused" in gap["reason"]
    assert "ssh -p 9 10.9.8.1" in gap["hint"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("away", "Connection refused"), ("not-installed", "not installed there"), ("backend", "none is running")],
)
def test_alone_it_is_an_error(answers: dict[str, Any], name: str, message: str) -> None:
    answer = answers[name]
    assert (answer["status"], answer["out"]) == (2, "")
    assert TWO_LINES.fullmatch(answer["err"]), answer["err"]
    assert message in answer["err"]
