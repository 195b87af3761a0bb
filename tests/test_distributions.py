"""The installed distributions: why502 without the lab, and the lab as an addition."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from why502.version import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by name of distribution."""
    directory = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "distributions/why502-lab"):
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
        subprocess.run(build, cwd=source, check=True, capture_output=True)
    return {path.name.partition("-")[0]: path for path in directory.glob("*.whl")}


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as content:
        return {name for name in content.namelist() if ".dist-info/" not in name and "__pycache__" not in name}


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command installed in a directory."""
    where = {**os.environ, "PYTHONPATH": str(directory)}
    return subprocess.run(
        [sys.executable, "-P", "-m", "why502", *words], cwd=directory, env=where, capture_output=True, text=True, check=False
    )


def test_each_module_is_in_one_of_them(wheels: dict[str, Path]) -> None:
    main, lab = names(wheels["why502"]), names(wheels["why502_lab"])
    files = subprocess.run(["git", "ls-files", "why502"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert main | lab == set(files)
    assert not main & lab
    assert lab == {name for name in files if name.startswith("why502/lab/") or name == "why502/cli/commands/lab.py"}


@pytest.mark.thorough
def test_without_the_lab_its_command_explains_how_to_install_it(wheels: dict[str, Path], tmp_path: Path) -> None:
    zipfile.ZipFile(wheels["why502"]).extractall(tmp_path)
    done = run(tmp_path, "lab", "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'why502: the lab is not installed\nInstall it with: pip install "why502[lab]"\n'
    assert " lab " not in run(tmp_path, "--help").stdout
    assert run(tmp_path, "explain", "AH01102").returncode == 0


def test_both_distributions_together_are_complete(wheels: dict[str, Path], tmp_path: Path) -> None:
    for wheel in wheels.values():
        zipfile.ZipFile(wheel).extractall(tmp_path)
    done = run(tmp_path, "lab", "list")
    assert done.returncode == 0, done.stderr
    assert "wrong-port" in done.stdout


def test_both_have_one_version(wheels: dict[str, Path]) -> None:
    assert {path.name.split("-")[1] for path in wheels.values()} == {__version__}
