"""A Caddy on this machine: its files and its logs.

Source: caddyserver.com/docs/command-line, caddyserver.com/docs/caddyfile/directives/import.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from why502.config.configuration import Configuration
from why502.gateways.caddy.config import load
from why502.gateways.running import Texts, included
from why502.host.base import Host
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.patterns import lazy
from why502.model.snapshot import Process

__all__ = ["load", "owner"]

KIND = "caddy"
MAIN = {"caddy": "/etc/caddy/Caddyfile"}
OPTIONS = ("--config", "-c")
WORKERS: frozenset[str] = frozenset()
UNITS = {"caddy": "caddy.service"}
TEST = "caddy validate --config {}"
IS_ALWAYS_PROXY = False
_IMPORT = lazy(r"^[ \t]*import[ \t]+\"?([^\s\"{}]*[/.*][^\s\"{}]*)", re.MULTILINE)


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the main file and its imports. Raises HostError."""

    def names(path: str, text: str) -> Iterator[str]:
        return (posixpath.join(posixpath.dirname(path), match[1]) for match in _IMPORT.finditer(text))

    yield from included(rights, mains[0], names)


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterator[LogTarget]:
    """Yield the logs named in its files, and its own output."""
    yield from (log for each in read for log in each.logs)
    yield LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.STDERR)


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return the addresses of its sites, as far as they name a port."""
    return [words for each in read for route in each.routes for words in route.listens]


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return none: it does not start with such a route, or reports it in its own words."""
    return ()
