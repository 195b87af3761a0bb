"""A lighttpd on this machine: its files and its logs. Source: lighttpd(8); doc/config."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from why502.config.configuration import Configuration
from why502.gateways.lighttpd.config import load, together
from why502.gateways.running import Texts, included
from why502.host.base import Host
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner  # it becomes `server.username` entirely
from why502.model.config import LogTarget, Route
from why502.model.patterns import lazy
from why502.model.process import Process

__all__ = ["load", "owner", "together"]

KIND = "lighttpd"
MAIN = {"lighttpd": "/etc/lighttpd/lighttpd.conf"}
OPTIONS = ("-f",)
WORKERS: frozenset[str] = frozenset()
UNITS = {"lighttpd": "lighttpd.service"}
TEST = "lighttpd -tt -f {}"
IS_ALWAYS_PROXY = False  # most serve files
_INCLUDE = lazy(r"^[ \t]*include[ \t]+\"([^\"\n]+)\"", re.MULTILINE)


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the main file and its includes. Raises HostError."""

    def names(path: str, text: str) -> Iterator[str]:
        return (posixpath.join(posixpath.dirname(mains[0]), match[1]) for match in _INCLUDE.finditer(text))

    yield from included(rights, mains[0], names)


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterator[LogTarget]:
    """Yield the logs that its files name."""
    yield from (target for each in read for target in each.logs)


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return its addresses, as far as they belong to a route."""
    return list(dict.fromkeys(address for each in read for route in each.routes for address in route.listens))


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return none: a path names its servers itself."""
    return ()
