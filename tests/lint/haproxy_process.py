"""A real HAProxy, for the tests of what rules claim about it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(config: Path, ready: Path, before: Sequence[str] = ()) -> Iterator[None]:
    """Run HAProxy from when it has made a socket until the end of the block. `before`: the words that start it."""
    ready.unlink(missing_ok=True)
    process = subprocess.Popen([*before, "haproxy", "-db", "-f", config], stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        while not ready.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)
