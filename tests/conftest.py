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
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy one, too
settings.load_profile("any machine")
JANITOR = Path(__file__).with_name("janitor.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite what the golden tests compare with; read the diff")


def pytest_collection_finish() -> None:
    """Exclude imported objects from later garbage collections: they are most of the heap and stay alive."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update"))


@pytest.fixture(scope="session", autouse=True)
def janitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clean up all that the tests start, even if they are killed: every process refers to one of these two directories."""
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
        keeper.wait(30)  # it prints the processes it had to kill
