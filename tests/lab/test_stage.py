"""What a scene leaves behind: nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import pathlib, subprocess, sys, threading
from why502.lab.stage import Stage

started, over = threading.Event(), threading.Event()
children = []

def start():
    children.append(subprocess.Popen(["sleep", "1000"]))
    started.set()
    over.wait()

threading.Thread(target=start, daemon=True).start()
started.wait()
Stage(pathlib.Path(sys.argv[1]), is_isolated=False).close()
print(pathlib.Path(f"/proc/{children[0].pid}").exists())
"""


def test_a_child_that_another_thread_started_ends_with_the_scene(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")
