"""A scene under `why502 watch`: the daemon runs before the fault, clients go on, and what it tells is recorded."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from why502.lab.stage import FAILED, LabError, Round, Stage
from why502.watch.model import ChangeKind
from why502.watch.packages import dpkg
from why502.watch.store import Store

START_S = 30.0
FOLLOWED_S = 10.0  # the daemon knows nginx before the fault begins; where nginx ends at once, it never will
LONGEST_S = 60.0  # from the first failure to the first message; later is never
AFTER_S = 15.0  # how long another message is waited for
QUIET_S = 45.0  # how long a healthy scene is watched
AT_ONCE = 8  # requests that wait for an answer
EVERY_S = 0.5
UNRELATED = 20  # packages that are installed right before the fault, and have nothing to do with it
# What scenes are made of: their packages might touch a target.
_PARTS = (
    *("nginx", "haproxy", "apache", "varnish", "php", "python", "lib", "redis"),
    *("supervisor", "node", "systemd", "docker", "podman"),
)
SETTINGS = """\
[gateways]
every_s = 1.0

[metrics]
listen = ""
"""


@dataclass(slots=True)
class Watching:
    """The daemon in the scene, and what it said so far."""

    process: subprocess.Popen[str]
    store: Path
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Return the events that somebody is told, each with its time in seconds since the epoch."""
        return [event for event in self.events if event["event"] != "note"]

    def read(self) -> None:
        """Read what it says until it ends."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.events.append(json.loads(line) | {"said_s": time.time()})


@contextmanager
def watching(stage: Stage, where: tuple[str, ...]) -> Iterator[Watching]:
    """Run the daemon in the scene. Raises LabError if it does not start, or ends before the block."""
    directory = stage.path("/run/lab/watch")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "watch.toml").write_text(SETTINGS)
    if stage.is_isolated and not stage.is_machine:
        stage.write(dpkg.LOGS[0], "")
    argv = [sys.executable, "-m", "why502", "watch", "--format", "jsonl", *where]
    argv += ["--settings", str(directory / "watch.toml"), "--store", str(directory / "watch.db")]
    with (directory / "errors.log").open("w") as errors:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
    found = Watching(process, directory / "watch.db")
    reader = threading.Thread(target=found.read, daemon=True)
    reader.start()
    try:
        stage.until(lambda: found.events, "why502 watch starts", patience_s=START_S)
        stage.when_started = partial(_when_started, stage, found)
        yield found
        if process.poll() is not None:
            raise LabError(f"why502 watch ended with status {process.returncode}", _text(directory / "errors.log"))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)


def record(stage: Stage, found: Watching, *, is_healthy: bool) -> dict[str, Any]:
    """Have the clients go on, and return what the daemon told of it.

    `after_s`: seconds from the first failure that a client saw (else from the end of the scene's making) to the first message.
    """
    began_s = stage.failed_at_s or time.time()
    with clients(stage):
        if is_healthy:
            _wait(QUIET_S, lambda: False)
        else:
            _wait(began_s + LONGEST_S - time.time(), lambda: bool(found.messages))
            _wait(AFTER_S if found.messages else 0.0, lambda: False)
    messages = [event for event in found.messages if event["event"] in ("opened", "reopened")]
    return {
        "after_s": round(messages[0]["said_s"] - began_s, 1) if messages else None,
        "messages": len(messages),
        "causes": [event["cause"] for event in messages],
        **(changes(found.store, messages[0]["id"]) if messages else {}),
        "events": list(found.events),
    }


def _when_started(stage: Stage, found: Watching) -> None:
    """Wait until the daemon knows the gateway, and change what has nothing to do with it."""
    _wait(FOLLOWED_S, lambda: any("watching" in event["message"] for event in found.events))
    if stage.is_isolated and not stage.is_machine:  # else the log is the machine's own
        at = datetime.now(UTC).astimezone()
        names = [name for path in sorted(Path(dpkg.FILES).glob("*.list")) if not (name := path.stem).startswith(_PARTS)]
        lines = [f"{at:%Y-%m-%d %H:%M:%S} upgrade {name.partition(':')[0]}:amd64 1.0-1 1.0-2\n" for name in names[:UNRELATED]]
        with stage.path(dpkg.LOGS[0]).open("a") as log:
            log.write("".join(lines))


def changes(store: Path, id_: str) -> dict[str, Any]:
    """Return the kind, subject and detail of each change that an incident may have begun with, and how many packages changed."""
    with closing(Store.open(store, read_only=True)) as opened:
        incident = opened.incident(id_)
        packages = sum(one.kind is ChangeKind.PACKAGE for one in opened.changes())
    named = incident.changes if incident else ()
    return {"changes": [[one.kind.value, one.subject, one.detail] for one in named], "packages": packages}


@contextmanager
def clients(stage: Stage) -> Iterator[None]:
    """Have clients send the requests of the scene again and again."""
    stop = threading.Event()
    threading.Thread(target=_clients, args=(stage, stop), daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def _clients(stage: Stage, stop: threading.Event) -> None:
    """Send the requests of the scene again, those that failed if some did, one after the other and none twice at once."""
    rounds = [done for done in stage.rounds if FAILED & done.statuses] or stage.rounds
    room = threading.Semaphore(AT_ONCE)

    def one(done: Round) -> None:
        try:
            stage.ask_again(done)
        finally:
            room.release()

    for number in range(1 << 30):
        if stop.wait(EVERY_S) or not rounds:
            return
        if room.acquire(blocking=False):
            threading.Thread(target=one, args=(rounds[number % len(rounds)],), daemon=True).start()


def _wait(seconds: float, is_enough: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not is_enough():
        time.sleep(0.1)


def _text(path: Path) -> str:
    return path.read_text(errors="replace")[-2000:] if path.exists() else ""
