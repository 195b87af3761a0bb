"""Folders for tests with several users."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A new folder that every user may enter; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="why502-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
