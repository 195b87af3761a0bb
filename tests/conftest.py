"""What all tests share."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

JANITOR = Path(__file__).with_name("janitor.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite what the golden tests compare with; read the diff")


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later look for cycles: it is most of the heap, and none of it goes."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update"))


@pytest.fixture(scope="session", autouse=True)
def janitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have nothing left that the tests start, also where they are killed: all of it has to do with one of these two directories.

    pytest's own directory is closed to others; nginx's workers run as another user.
    """
    usual = tempfile.gettempdir()
    base = tmp_path_factory.getbasetemp()
    directory = tempfile.mkdtemp(prefix="why502-tests-")
    os.chmod(directory, 0o755)
    keeper = subprocess.Popen([sys.executable, str(JANITOR)], stdin=subprocess.PIPE, text=True, start_new_session=True, cwd="/")
    assert keeper.stdin
    keeper.stdin.write(f"{directory}\n{base}\n")
    keeper.stdin.flush()
    tempfile.tempdir = os.environ["TMPDIR"] = directory
    try:
        yield
    finally:
        tempfile.tempdir = os.environ["TMPDIR"] = usual
        keeper.stdin.close()
        keeper.wait(30)  # it names on standard error what it had to kill
