"""Where packages and people install programs."""

from __future__ import annotations

from functools import partial

from why502.host.base import Host
from why502.machine.attempt import attempt

DIRECTORIES = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")


def located(host: Host, name: str, *more: str) -> str:
    """Return the path of an installed program; "" if there is none. `more`: further directories, looked into last."""
    candidates = (f"{directory}/{name}" for directory in (*DIRECTORIES, *more))
    return next((path for path in candidates if attempt(partial(host.stat, path)) is not None), "")
