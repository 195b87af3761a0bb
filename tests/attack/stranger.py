"""An ordinary user as attacker, and the results of root's commands. No account has this uid (passwd(5))."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STRANGER = 61234
TWO_LINES = re.compile(r"why502: \S[^\n]*\n\S[^\n]*\n")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="plays root and a stranger, needs root")

# All modules are imported first: the interpreter may be in a place only root can read.
_AS = """
import importlib, os, pkgutil, sys, why502
for module in pkgutil.walk_packages(why502.__path__, "why502."):
    if module.name not in ("why502.__main__",):
        importlib.import_module(module.name)
from why502.cli.main import run
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
sys.exit(run(sys.argv[2:]))
"""


def why502(*argv: str, before: tuple[str, ...] = (), **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command line as root; `before` is a command prefix (`unshare -m …`)."""
    given = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **options}
    return subprocess.run([*before, sys.executable, "-m", "why502", *argv], check=False, **given)


def why502_as(uid: int, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as another user."""
    return subprocess.run(
        [sys.executable, "-c", _AS, str(uid), *argv], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        check=False
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the two lines of output of a refused command."""
    assert (done.returncode, done.stdout) == (2, ""), (done.stdout, done.stderr)
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    return done.stderr


def directory(mode: int = 0o755, uid: int = 0) -> Path:
    """Return a new directory that others may enter."""
    made = Path(tempfile.mkdtemp(prefix="attack-"))
    os.chown(made, uid, uid)
    made.chmod(mode)
    return made


def given(path: Path, uid: int = STRANGER) -> Path:
    """Change the owner of a file, or of a link itself, and return its path."""
    os.lchown(path, uid, uid)
    return path


@contextlib.contextmanager
def attacking(act: Callable[[], object]) -> Iterator[None]:
    """Repeat `act` in a process of the attacker while the block runs."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            while True:
                act()
        finally:
            os._exit(1)
    try:
        yield
        assert os.waitpid(child, os.WNOHANG) == (0, 0)  # it was still attacking
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
