"""Real daemons beside a real nginx, for the tests of `why502 watch`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import why502
from why502.lab.stage import Stage

ROOT = Path(why502.__file__).parent.parent
PATIENCE_S = 60.0


@contextmanager
def scene(directory: Path) -> Iterator[Stage]:
    """Yield a stage below a directory that nginx's workers can read."""
    for path in (directory, *directory.parents[:3]):
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(0o755)
    stage = Stage(directory, is_isolated=False)
    try:
        yield stage
    finally:
        stage.close()


def eventually(is_so: Callable[[], Any], message: str, timeout_s: float = PATIENCE_S) -> Any:
    """Return the first true value of a condition. Fails with the message when there is none in time."""
    until = time.monotonic() + timeout_s
    while not (found := is_so()):
        assert time.monotonic() < until, message
        time.sleep(0.05)
    return found


@dataclass
class Daemon:
    """A running `why502 watch`, and what it said."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    @property
    def notes(self) -> str:
        return "\n".join(event["message"] for event in list(self.events) if event["event"] == "note")

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in list(self.events) if event["event"] != "note" and (not kinds or event["event"] in kinds)]

    def end(self, how: signal.Signals = signal.SIGTERM) -> float:
        """End it, and return the seconds that this took."""
        began = time.monotonic()
        self.process.send_signal(how)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - began


@dataclass
class Place:
    """Where the daemons of a test are: the configuration, the settings and the store."""

    directory: Path
    config: str
    text: str = '[metrics]\nlisten = ""\n[gateways]\nevery_s = 0.2\n'

    @property
    def store(self) -> Path:
        return self.directory / "watch.db"

    @property
    def settings(self) -> Path:
        return self.directory / "watch.toml"

    def argv(self, *options: str) -> list[str]:
        self.directory.mkdir(exist_ok=True)
        if not self.settings.exists():
            self.settings.write_text(self.text)
        argv = [sys.executable, "-m", "why502", "watch", "--format", "jsonl", "--config", self.config]
        return [*argv, "--settings", str(self.settings), "--store", str(self.store), *options]

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        argv = self.argv(*options)
        return subprocess.run(argv, check=False, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    @contextmanager
    def daemon(self, *options: str, environment: dict[str, str] | None = None) -> Iterator[Daemon]:
        """Run it beside the block."""
        process = subprocess.Popen(
            self.argv(*options),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.directory / "errors.log").open("a"),
            text=True,
            env={**os.environ, **(environment or {})},
        )
        found = Daemon(process)
        reader = threading.Thread(target=found.read, daemon=True)
        reader.start()
        try:
            eventually(lambda: found.events or process.poll() is not None, "it starts")
            yield found
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            reader.join(5)
