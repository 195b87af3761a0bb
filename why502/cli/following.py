"""`why502 logs --follow`: a live view on a terminal, a line of JSON for each interval otherwise."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from why502.cli.env import Env, Exit
from why502.cli.keys import keys
from why502.logs.follow.follower import Follower
from why502.logs.live import Live, asked, current
from why502.logs.scan.plan import by_path
from why502.logs.scan.source import STANDARD_INPUT, expand, is_remote
from why502.model.errors import Why502Error
from why502.render.logs.live import line, screen

if TYPE_CHECKING:
    from why502.logs.scan.job import Job

POLL_S = 0.25


def follow(env: Env, job: Job, *, interval_s: float, top: int, format_: str) -> int:
    """Follow the logs of a job until `q` or Ctrl-C. Return the exit status. Raises Why502Error."""
    live = _live(job)
    try:
        if format_ == "text" and env.stdout.isatty():
            _show(env, live, interval_s, top)
        else:
            _write(env, live, interval_s, top)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    finally:
        live.close()
    return Exit.HEALTHY


def _live(job: Job) -> Live:
    for path in job.paths:
        if path == STANDARD_INPUT or is_remote(path):
            raise Why502Error(
                f"--follow {path}: only files of this machine can be followed", "Run it on the machine that has the log."
            )
    paths = current([source.path for source in expand(job.paths) if not source.reason])
    forms = job.formats.forms
    return Live(
        [
            Follower(path, query=asked(job.query), form=job.given or by_path(forms, os.path.abspath(path)))  # noqa: PTH100 - a path as text
            for path in paths
        ]
    )


def _write(env: Env, live: Live, interval_s: float, top: int) -> None:
    """Write one line for each interval, the last one for the interval in which the run ends."""
    begun = time.monotonic()
    try:
        while True:
            while (left_s := begun + interval_s - time.monotonic()) > 0:
                with _whole():
                    is_behind = live.step(time.time())
                if not is_behind:
                    time.sleep(min(left_s, POLL_S))
            with _whole():
                begun = _interval(env, live, begun, top)
    except KeyboardInterrupt:
        live.step(time.time())
        _interval(env, live, begun, top)
        raise


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Let Ctrl-C wait for the end: what a step had read when it was interrupted would be in no line."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interval(env: Env, live: Live, begun: float, top: int) -> float:
    """Write the lines counted since the last call; return the current time."""
    now = time.monotonic()
    env.write(line(live.interval(), env.now(), now - begun, top))
    return now


def _show(env: Env, live: Live, interval_s: float, top: int) -> None:
    """Show new failures until `q` is pressed."""
    from rich.console import Console
    from rich.live import Live as Display

    begun = shown = time.monotonic()
    with keys(env.stdin) as pressed, Display(console=Console(file=env.stdout), screen=True, auto_refresh=False) as display:
        while True:
            is_behind = live.step(time.time())
            if (now := time.monotonic()) - shown >= interval_s or shown == begun:
                display.update(screen(live.recent(), live.interval(), env.now(), now - shown, top), refresh=True)
                shown = now
            if pressed(0.0 if is_behind else POLL_S) == "q":
                return
