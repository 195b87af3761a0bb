"""Processes that read side by side: what they tell, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs.scan.summing import count, plain
from tests.logs.scan.written import TIMED, lines
from why502.logs.scan import readers
from why502.logs.scan.line_format import of_format
from why502.logs.scan.readers import Readers
from why502.logs.scan.work import Ask, Part
from why502.model.errors import Why502Error

pytestmark = pytest.mark.skipif(not readers.CAN_FORK, reason="needs Linux")
FORM = of_format(TIMED)


def parts_of(path: Path, number: int) -> list[Part]:
    size = path.stat().st_size
    edges = [size * at // number for at in range(number + 1)]
    return [Part(path=str(path), form=FORM, index=at, start=edges[at], end=edges[at + 1]) for at in range(number)]


def going_on(_: int) -> bool:
    return False


@pytest.mark.parametrize("ask", [Ask(), Ask(is_exact=True), Ask(only="5xx"), Ask(is_fast=False)])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_several_count_what_one_counts(tmp_path: Path, jobs: int, ask: Ask) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(3000, odd=False))
    mine = Readers(jobs, is_fast=ask.is_fast)
    try:
        mine.start(parts_of(path, 150), ask)
        found = mine.result(going_on)
    finally:
        mine.close()
    assert found is not None
    whole = count(path, FORM, ask)
    assert plain(found[1]) == plain(whole)
    assert sorted(read.number for read in found[0]) == list(range(150))
    assert sum(read.lines for read in found[0]) == whole.lines


def test_they_stop_when_they_are_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(lines(3000, odd=False) * 10)
    mine = Readers(2, is_fast=False)
    try:
        mine.start(parts_of(path, 50), Ask(is_fast=False))
        found = mine.result(lambda _: True)
    finally:
        mine.close()
    assert found is not None
    assert found[1].is_partial


def test_a_killed_one_is_told() -> None:
    mine = Readers(2)
    try:
        os.killpg(mine.pid, signal.SIGKILL)
        os.waitid(os.P_PID, mine.pid, os.WEXITED | os.WNOWAIT)
        mine.start([], Ask())
        with pytest.raises(Why502Error, match="killed"):
            mine.result(going_on)
    finally:
        mine.close()


def test_those_that_nobody_asks_anything_end() -> None:
    mine = Readers(2)
    pid = mine.pid
    mine.close()
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_the_command_reads_much_in_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with path.open("wb") as file:
        while file.tell() < readers.SMALL_BYTES:
            file.write(lines(20_000, odd=False))
    argv = [sys.executable, "-m", "why502", "logs", str(path), "--format", "json"]
    told = subprocess.run(argv, capture_output=True, check=False, timeout=120)
    single = subprocess.run([*argv, "--engine", "single"], capture_output=True, check=False, timeout=120)
    assert told.stdout == single.stdout
    assert (told.returncode, told.stderr) == (1, b"")
