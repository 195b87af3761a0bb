"""The test of HAProxy's configuration: `haproxy -c`. It binds no port, starts no process and writes no file.

Sources: haproxy(1); doc/management.txt, section 3; doc/configuration.txt, 2.3 (environment variables) and 3.1 (lua-load).
"""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise

from why502.gateways.haproxy.config import trees_of, variables_of
from why502.gateways.running import Texts
from why502.model.config import Position
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import ConfigProblem, Proxy

COMMAND = "haproxy -c -f {}"
_KEPT = ("-C", "-L")  # options with a value that change what the files mean
RUNS_CODE = lazy(r"^[ \t]*(lua-load(?:-per-thread)?)\b", re.MULTILINE)
_ALERT = lazy(r"\[ALERT\][ \t]+\(\d{1,10}\) : (?:config : )?(?P<message>[^\n]{1,2000})")
_PLACE = lazy(r"(?:parsing )?\[(?P<file>/[^\]:\n]{1,500}):(?P<line>\d{1,9})\] : ")
_SUMMARIES = ("Error(s) found in configuration file", "Fatal errors found in configuration")
_MOST = 1 << 20


def arguments(proxy: Proxy, process: Process | None) -> tuple[str, ...]:
    """Return `-c`, the files in their order, and the options of the running process that change their meaning."""
    argv = process.argv if process else ()
    kept = [word for option, value in pairwise(argv) if option in _KEPT for word in (option, value)]
    if "-C" not in kept and process and process.cwd:
        kept = ["-C", process.cwd, *kept]  # relative paths in its files start there
    return ("-c", *kept, *(word for file in proxy.files for word in ("-f", posixpath.normpath(file.path))))


def modules(proxy: Proxy, texts: Texts) -> tuple[str, ...]:  # noqa: ARG001 - the interface of every product
    """Return none: HAProxy loads no modules."""
    return ()


def variables(texts: Texts) -> frozenset[str]:
    """Return the names of the variables in its files, without those that HAProxy sets itself."""
    found = {name for tree in trees_of(texts) for name in variables_of(tree)}
    return frozenset(name for name in found if not name.startswith("HAPROXY_"))


def directories(proxy: Proxy) -> tuple[str, ...]:  # noqa: ARG001 - the interface of every product
    """Return none: the test writes nothing."""
    return ()


files = made = directories


def problems(output: str) -> tuple[ConfigProblem, ...]:
    """Return the alerts, without the summary at the end."""
    found = []
    for match in _ALERT.finditer(output[:_MOST]):
        message = match["message"]
        place = _PLACE.match(message)
        at = Position(file=place["file"], line=int(place["line"])) if place else None
        if not message.startswith(_SUMMARIES):
            found.append(ConfigProblem(message=message[place.end() :] if place else message, at=at, source="haproxy -c"))
    return tuple(dict.fromkeys(found))
