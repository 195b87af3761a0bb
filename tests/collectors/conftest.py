"""Directories for tests with several users."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A new directory that every user may enter; pytest's own are accessible only to root."""
    directory = Path(tempfile.mkdtemp(prefix="why502-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)
