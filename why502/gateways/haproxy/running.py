"""An HAProxy on this machine: its files and its log. Source: haproxy(1); doc/management.txt, section 3."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial
from itertools import islice

from why502.config.configuration import Configuration
from why502.gateways.haproxy.config import load, map_lookups, names, sections, together, trees_of
from why502.gateways.haproxy.rules import missing
from why502.gateways.running import MOST_FILES, Texts, decoded
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.process import Process

__all__ = ["load", "owner", "together"]

KIND = "haproxy"
MAIN = {"haproxy": "/etc/haproxy/haproxy.cfg"}
OPTIONS = ("-f",)
WORKERS: frozenset[str] = frozenset()
UNITS = {"haproxy": "haproxy.service"}
TEST = "haproxy -c -f {}"
IS_ALWAYS_PROXY = True
_MOST_MAPS = 16
_STREAMS = ((LogKind.ACCESS, frozenset({"stdout", "fd@1"})), (LogKind.ERROR, frozenset({"stderr", "fd@2"})))
_STREAM_NAMES = frozenset({"global", *(name for _, names in _STREAMS for name in names)})
_LOGS = ("/var/log/haproxy.log", "/var/log/haproxy/haproxy.log")


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each file with its text; a directory means its `*.cfg`, in order of name. Raises HostError."""
    for main in mains:
        inside = attempt(partial(rights.own.list, main))
        paths = [main] if inside is None else [posixpath.join(main, name) for name in sorted(inside) if name.endswith(".cfg")]
        for path in paths[:MOST_FILES]:
            yield path, decoded(rights.read(path))


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> tuple[LogTarget, ...]:
    """Return its logs: its output streams where `log` names them, and what syslog writes. It writes no file itself."""
    named = {
        line.words[1]
        for section in sections(trees_of(texts))
        for line in section.lines
        if line.words[0] == "log" and len(line.words) > 1
    }
    streams = tuple(LogTarget(kind=kind, goes_to=LogPlace.STDERR) for kind, names in _STREAMS if named & names)
    if streams and not named - _STREAM_NAMES:
        return streams
    found = (path for path in _LOGS if attempt(partial(host.stat, path)) is not None)
    files = tuple(LogTarget(kind=LogKind.ACCESS, path=path) for path in found)
    return (*streams, *(files or (LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.SYSLOG),)))


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return the arguments of `bind`."""
    return [words for each in read for route in each.routes for words in route.listens]


def lost_routes(rights: Rights, texts: Texts) -> Iterator[Route]:
    """Yield the backends that a map chooses and that do not exist."""
    found = sections(trees_of(texts))
    known = names(found)
    for lookup in islice(map_lookups(found), _MOST_MAPS):
        content = attempt(partial(rights.reading(lookup.at.file)[0], lookup.path))
        if content is not None:
            yield from missing(lookup, decoded(content), known)
