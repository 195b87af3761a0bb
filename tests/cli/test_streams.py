"""Output errors: a full disk, a closed stream, a device, a directory that no longer exists.

Two lines, never a traceback.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from asking import GOLDEN, PROGRAM, TWO_LINES, run_program
from sampled import sampled

WRONG_PORT = str(GOLDEN / "wrong-port.why502")
BUNDLE = f"diagnose --bundle {WRONG_PORT}"
REFUSED = (
    "2026/11/21 01:10:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, "
    'client: 192.0.2.1, server: a, request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:3001/", host: "a"\n'
)


@pytest.mark.parametrize(
    "line", sampled([BUNDLE, f"{BUNDLE} --format json", "explain 502", "schema", "lab list", "completion bash"], 3)
)
def test_a_full_disk_is_reported(line: str) -> None:
    with open("/dev/full", "w") as full:
        done = run_program(*line.split(), capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    assert "no space left" in done.stderr


def test_a_full_disk_is_reported_for_many_lines() -> None:
    with open("/dev/full", "w") as full:
        given = {"stdin": None, "input": REFUSED * 2000}
        done = run_program(
            "explain", "--format", "jsonl", "-", capture_output=False, stdout=full, stderr=subprocess.PIPE, **given
        )
    assert done.returncode == 2
    assert TWO_LINES.fullmatch(done.stderr), done.stderr


@pytest.mark.parametrize(("closed", "status"), sampled([(">&-", 1), ("2>&-", 1), ("<&-", 1)], 3))
def test_a_stream_that_is_closed_changes_no_status(closed: str, status: int) -> None:
    command = shlex.join([*PROGRAM, *BUNDLE.split(), "-q"])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.fixture
def collect(tmp_path: Path) -> list[str]:
    """The arguments of `why502 collect -q` with only a configuration; each test appends the output path."""
    (tmp_path / "nginx.conf").write_text("events {}\n")
    return ["collect", "-q", "--no-probe", "--config", str(tmp_path / "nginx.conf"), "-o"]


@pytest.mark.thorough
def test_a_device_is_written_to_and_not_replaced(collect: list[str], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert run_program(*collect, str(pipe)).returncode == 0
        assert reader.stdout and reader.stdout.read(2) == b"\x1f\x8b"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    for device in ("/dev/null", "/dev/stdout"):
        before = os.lstat(device)
        done = run_program(*collect, device, text=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout[:2] == (b"\x1f\x8b" if device == "/dev/stdout" else b"")
        assert (os.lstat(device).st_ino, os.lstat(device).st_mode) == (before.st_ino, before.st_mode)


def test_a_link_to_a_file_is_replaced_and_leads_nowhere(collect: list[str], tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("as it was")
    (tmp_path / "link").symlink_to("precious")
    assert run_program(*collect, str(tmp_path / "link")).returncode == 0
    assert (tmp_path / "precious").read_text() == "as it was"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "status"), sampled([(f"{BUNDLE} -q", 1), ("lint here.conf", 2), ("logs .", 2), ("collect -o x", 2)], 3)
)
def test_a_directory_that_is_gone(tmp_path: Path, line: str, status: int) -> None:
    (tmp_path / "gone").mkdir()
    command = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && {shlex.join([*PROGRAM, *line.split()])}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert status != 2 or TWO_LINES.fullmatch(done.stderr), done.stderr


def test_the_output_of_a_command_works_as_a_log_and_as_a_configuration(tmp_path: Path) -> None:
    """bash(1), Process Substitution."""
    (tmp_path / "error.log").write_text(REFUSED)
    (tmp_path / "a.conf").write_text("events {} http { server { listen 80; location / { proxy_pass http://127.0.0.1:3001; } } }")
    given = "--offline --since 2026-11-21T00:00Z --log <(cat error.log) --log <(gzip -c error.log) --config <(cat a.conf)"
    command = f"cd {tmp_path} && {shlex.join([*PROGRAM, 'diagnose'])} {given} --format json"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (1, "")
    first = json.loads(done.stdout)["findings"][0]
    assert (first["target"], first["failures"], first["route"]["location"]) == ("127.0.0.1:3001", 2, "/")
