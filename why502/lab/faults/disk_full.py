"""disk-full: no space, or no inode, is left where nginx or the application writes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from why502.lab.fault import Fault
from why502.lab.scenes import one_backend
from why502.lab.stage import Stage
from why502.model.finding import Layer


def small(stage: Stage, path: str, options: str) -> Path:
    """Put a small file system (tmpfs(5)) there."""
    real = stage.path(path)
    real.mkdir(parents=True, exist_ok=True)
    stage.sh("mount", "-t", "tmpfs", "-o", f"mode=755,{options}", "why502-lab", str(real))
    return real


def uploads(stage: Stage, *, options: str) -> None:
    """Break it: uploads that do not fit the buffer cannot be put down; the backend is never asked."""
    directory = small(stage, "/var/lib/nginx", options)
    one_backend(stage, times=1, location="client_body_buffer_size 8k;\nclient_max_body_size 10m;")
    if "nr_inodes" in options:
        for number in range(1000):
            try:
                (directory / f"left-{number}").touch()
            except OSError:
                break
    stage.send_many(5, "/upload", method="POST", body=b"x" * 2_000_000)


def responses(stage: Stage) -> str:
    """Break it: answers larger than the buffers cannot be put down while a slow client reads; they are cut, status 200."""
    small(stage, "/var/lib/nginx", "size=256k")
    target = one_backend(stage, times=1)
    stage.send_many(4, "/big", at_once=4, pause_s=0.3)
    return target


def application(stage: Stage) -> str:
    """Break it: the application cannot write, and answers 502 itself."""
    small(stage, "/run/shop", "size=1m")
    target = one_backend(stage, options=("--file", str(stage.path("/run/shop/orders"))), times=1)
    stage.send_many(5, "/write/4")
    return target


fault = partial(Fault, cause="disk-full", layer=Layer.PLATFORM, ongoing=None, needs=frozenset({"isolation"}))
FAULTS = (
    fault(
        name="disk-full",
        message="no space is left for request bodies",
        build=partial(uploads, options="size=1m"),
        statuses=frozenset({200, 500}),
        proves=(r"\(28: No space left on device\)",),
    ),
    fault(
        name="disk-full-inodes",
        message="no inode is left for request bodies",
        build=partial(uploads, options="size=16m,nr_inodes=40"),
        statuses=frozenset({200, 500}),
        proves=(r"\(28: No space left on device\)",),
    ),
    fault(
        name="disk-full-response",
        message="no space is left for responses",
        build=responses,
        statuses=frozenset({200}),
        proves=(r"\(28: No space left on device\)",),
    ),
    fault(
        name="disk-full-application",
        message="the application cannot write its file, and answers 502 itself",
        build=application,
        statuses=frozenset({200, 502}),
        proves=(r" 502 ",),
    ),
)
