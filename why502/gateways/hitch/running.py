"""A Hitch on this machine: its file. Source: hitch(8), hitch.conf(5)."""

from __future__ import annotations

from collections.abc import Iterator

from why502.config.configuration import Configuration
from why502.gateways.hitch.config import load
from why502.gateways.running import Texts, decoded
from why502.host.base import Host
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_jailed as owner  # it runs as another user than the one who started it
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.process import Process

__all__ = ["load", "owner"]

KIND = "hitch"
MAIN = {"hitch": "/etc/hitch/hitch.conf"}
OPTIONS = ("--config",)
WORKERS: frozenset[str] = frozenset()
UNITS = {"hitch": "hitch.service"}
IS_ALWAYS_PROXY = True


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield its files. Raises HostError."""
    for main in mains:
        yield main, decoded(rights.read(main))


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> tuple[LogTarget, ...]:
    """Return none: it writes to syslog, and has no log of requests."""
    return (LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.SYSLOG),)


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return the addresses of its frontends."""
    return [words for each in read for route in each.routes for words in route.listens]


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return none: it has one backend."""
    return ()
