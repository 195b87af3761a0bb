"""An Apache httpd on this machine: its files and its logs.

Sources: httpd(8); core documentation of httpd (Include, IncludeOptional, ServerRoot, ErrorLog, Listen).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice

from msgspec.structs import replace

from why502.config.configuration import Configuration
from why502.gateways.apache import piped
from why502.gateways.apache.config import access_files, load, parse, together
from why502.gateways.apache.config.directives import Reader
from why502.gateways.running import Texts, decoded, included
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner
from why502.model.config import LogPlace, LogTarget, Route
from why502.model.patterns import lazy
from why502.model.process import Process

__all__ = ["load", "owner", "together"]

KIND = "apache"
MAIN = {"apache2": "/etc/apache2/apache2.conf", "httpd": "/etc/httpd/conf/httpd.conf"}
OPTIONS = ("-f",)
WORKERS: frozenset[str] = frozenset()
UNITS = {"apache2": "apache2.service", "httpd": "httpd.service"}
TEST = "apachectl -t -f {}"
IS_ALWAYS_PROXY = False  # most serve files
MOST_LOOKED = 128  # directories looked into for a `.htaccess`
_INCLUDE = lazy(r"^[ \t]*Include(?:Optional)?[ \t]+\"?([^\s\"]+)", re.MULTILINE | re.IGNORECASE)
_ROOT = lazy(r"^[ \t]*ServerRoot[ \t]+\"?([^\s\"]+)", re.MULTILINE | re.IGNORECASE)
_VARIABLE = lazy(r"\$\{(APACHE_\w+)\}")


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the main file and what it includes. Raises HostError."""
    base = posixpath.dirname(mains[0])

    def names(path: str, text: str) -> Iterator[str]:
        nonlocal base
        if path == mains[0] and (root := _ROOT.search(text)):
            base = posixpath.join(base, _named(root[1], process))
        for match in _INCLUDE.finditer(text):
            yield posixpath.join(base, _named(match[1], process))

    yield from included(rights, mains[0], names)


def live(rights: Rights, texts: Texts) -> Iterator[tuple[str, str]]:
    """Yield the `.htaccess` files of the directories that it serves and of those directly in them, where it reads them itself.

    Each is read with the rights of the user who supplies it. At most MOST_LOOKED directories are looked into.
    """
    if not access_files.may_exist(texts):
        return
    trees = [parse(text.encode("utf-8", "surrogateescape"), path) for path, text in texts]
    overrides = access_files.Overrides()
    for directive in Reader(trees).directives():
        overrides.take(directive)
    names = sorted(access_files.names_of(trees))
    served = overrides.directories()
    below = (posixpath.join(directory, name) for directory in served for name in _directories(rights, directory))
    for directory in list(islice(dict.fromkeys(chain(served, below)), MOST_LOOKED)):
        for path in (posixpath.join(directory, name) for name in names):
            if attempt(partial(rights.own.stat, path)) is None:
                continue
            content = attempt(partial(rights.reading(path)[0], path))
            if content is not None:
                yield path, decoded(content)


def _directories(rights: Rights, directory: str) -> list[str]:
    """Return the names in a served directory that may be directories."""
    names = attempt(partial(rights.of(directory).list, directory)) or []
    return sorted(name for name in names if "." not in name)[:MOST_LOOKED]


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterator[LogTarget]:
    """Yield the logs that its files name."""
    base = posixpath.dirname(texts[0][0])
    for target in (target for each in read for target in each.logs):
        if target.goes_to is not LogPlace.FILE:
            yield target
            continue
        path = _named(target.path, process)
        if path.startswith("|") and piped.is_to_journal(path):
            yield replace(target, path="", goes_to=LogPlace.SYSLOG)
        elif path.startswith("|"):
            path = piped.files(path)
            if path:
                goes_to = LogPlace.VARIABLE if "%" in path else LogPlace.FILE
                yield replace(target, path=posixpath.normpath(path), goes_to=goes_to)
        elif "$" not in path:
            yield replace(target, path=posixpath.normpath(posixpath.join(base, path)))


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return the arguments of the `Listen` directives in force."""
    return [str(target) for each in read for target in each.listens]


def _named(path: str, process: Process) -> str:
    """Return a path with the variables that Debian's envvars sets."""
    suffix = process.argv[0].rpartition("/")[2].removeprefix("apache2") if process.argv else ""
    known = {"APACHE_LOG_DIR": f"/var/log/apache2{suffix}", "APACHE_CONFDIR": f"/etc/apache2{suffix}"}
    return _VARIABLE.sub(lambda match: known.get(match[1], match[0]), path)


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return none: it does not start with such a route, or reports it in its own words."""
    return ()
