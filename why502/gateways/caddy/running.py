"""A Caddy on this machine: its files and its logs.

Source: caddyserver.com/docs/command-line (run, start, reverse-proxy), caddyserver.com/docs/caddyfile/directives/import.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from why502.config.configuration import Configuration
from why502.gateways.caddy.config import load, together
from why502.gateways.running import Texts, included
from why502.host.base import Host
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.errors import HostError
from why502.model.patterns import lazy
from why502.model.process import Process

__all__ = ["load", "owner", "together"]

KIND = "caddy"
MAIN = {"caddy": "/etc/caddy/Caddyfile"}
OPTIONS = ("--config", "-c")
WORKERS: frozenset[str] = frozenset()
UNITS = {"caddy": "caddy.service"}
TEST = "caddy validate --config {}"
IS_ALWAYS_PROXY = False
ARGUMENTS = "its command line"  # in the place of a file's path: `caddy reverse-proxy --from … --to …`
_IMPORT = lazy(r"^[ \t]*import[ \t]+\"?([^\s\"{}]*[/.*][^\s\"{}]*)", re.MULTILINE)


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the main file and its imports; nothing if it is configured over its admin interface only.

    Raises HostError if a file that its command line names cannot be read.
    """
    if written := _quick(process.argv[1:]):
        yield ARGUMENTS, written
        return
    is_named = any(word.split("=", 1)[0] in OPTIONS for word in process.argv[1:])

    def names(path: str, text: str) -> Iterator[str]:
        return (posixpath.join(posixpath.dirname(path), match[1]) for match in _IMPORT.finditer(text))

    own = posixpath.join(process.cwd or "/", "Caddyfile")  # without an option, a Caddyfile in its working directory
    for main in mains if is_named or not process.pid else (own, *mains):
        try:
            yield from included(rights, main, names)
        except HostError:
            if is_named or not process.pid:
                raise
        else:
            return


def _quick(words: Sequence[str]) -> str:
    """Return the Caddyfile that `caddy reverse-proxy` stands for; "" for any other command."""
    if not words or words[0] != "reverse-proxy":
        return ""
    given: dict[str, list[str]] = {"--from": [], "--to": []}
    left = [part for word in words[1:] for part in word.split("=", 1)]
    for name, value in pairwise(left):
        if name in given or name in ("-f", "-t"):
            given["--from" if name in ("--from", "-f") else "--to"].append(value)
    site = given["--from"][0] if given["--from"] else "localhost"
    plain = all(part and not re.search(r"[\s{}\"`#]", part) for part in (site, *given["--to"]))
    return f"{site} {{\n\treverse_proxy {' '.join(given['--to'])}\n}}\n" if given["--to"] and plain else ""


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
