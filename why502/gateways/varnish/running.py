"""A Varnish on this machine: its files and its log in memory. Source: varnishd(1), vcl(7)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from itertools import pairwise

from why502.config.configuration import Configuration
from why502.gateways.running import Texts, included
from why502.gateways.varnish.config import load
from why502.host.base import Host
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_jailed as owner  # its manager takes on another effective user (-j unix)
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.patterns import lazy
from why502.model.process import Process

__all__ = ["load", "owner"]

KIND = "varnish"
MAIN = {"varnishd": "/etc/varnish/default.vcl"}
OPTIONS = ("-f",)
WORKERS = frozenset({"cache-main"})
UNITS = {"varnishd": "varnish.service"}
TEST = "varnishd -C -f {}"
IS_ALWAYS_PROXY = True
_INCLUDE = lazy(r"^[ \t]*include[ \t]+\"([^\"\n]+)\"", re.MULTILINE)


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the VCL file and its includes; if -b names the backend, a text with only that. Raises HostError."""
    if backend := next((after for word, after in pairwise(process.argv) if word == "-b"), ""):
        host, _, port = backend.rpartition(":") if re.search(r":\d+$", backend) else (backend, "", "80")
        yield "varnishd -b", f'backend default {{ .host = "{host.strip("[]")}"; .port = "{port}"; }}'
        return

    def names(path: str, text: str) -> Iterator[str]:
        for match in _INCLUDE.finditer(text):
            relative = posixpath.dirname(path) if match[1].startswith("./") else posixpath.dirname(mains[0])
            yield posixpath.normpath(posixpath.join(relative, match[1]))

    yield from included(rights, mains[0], names)


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterator[LogTarget]:
    """Yield its log in memory, in the working directory given by -n."""
    yield LogTarget(kind=LogKind.ERROR, goes_to=LogPlace.MEMORY, path=process.cwd)


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return none: its listening addresses are on its command line, not in a file."""
    return []


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return none: it does not start with such a route, or reports it in its own words."""
    return ()
