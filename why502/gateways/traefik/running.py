"""A Traefik on this machine: its static configuration, and the files of its file provider.

Source: doc.traefik.io/traefik/getting-started/configuration-overview, providers/file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial

from why502.config.configuration import Configuration
from why502.gateways.running import MOST_FILES, Texts, decoded
from why502.gateways.traefik.config import load, together
from why502.gateways.traefik.config import static as starts
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner
from why502.model.config import LogTarget, Route
from why502.model.process import Process

__all__ = ["load", "owner", "together"]

KIND = "traefik"
MAIN = {"traefik": "/etc/traefik/traefik.yml"}
OPTIONS = ("--configfile", "--configFile", "-configfile", "-configFile")
WORKERS: frozenset[str] = frozenset()
UNITS = {"traefik": "traefik.service"}
TEST = ""  # it has none
IS_ALWAYS_PROXY = True
_KINDS = (".toml", ".yaml", ".yml")
_DEEPEST = 8


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the static configuration, which may have no file, and the files of the file provider. Raises HostError."""
    file, text = _static(rights, process, mains)
    yield file, text
    one, directory = starts.dynamic_places(starts.understood(text, file), process.cwd)
    read, listing = rights.reading(file)
    paths = [one] if one else _below(listing, directory, 0) if directory else ()
    for path, _ in zip(paths, range(MOST_FILES), strict=False):
        content = attempt(partial(read, path))
        if content is not None:
            yield path, decoded(content)


def _static(rights: Rights, process: Process, mains: list[str]) -> tuple[str, str]:
    """Return where the static configuration stands, and its text. Raises HostError if its file cannot be read."""
    environment = rights.environment(process.pid) if process.pid else {}
    named = starts.file_option(process.argv[1:]) or environment.get("TRAEFIK_CONFIGFILE", "")
    if named:
        path = posixpath.normpath(posixpath.join(process.cwd or "/", named))
        return path, decoded(rights.read(path))
    home = environment.get("HOME", "")
    above = ("/etc/traefik", environment.get("XDG_CONFIG_HOME", ""), f"{home}/.config" if home else "", process.cwd)
    places = (f"{directory}/{name}" for directory in above if directory for name in starts.FILES)
    for path in places:
        content = attempt(partial(rights.read, path))
        if content is not None:
            return path, decoded(content)
    if given := starts.of_arguments(process.argv[1:]):
        return starts.ARGUMENTS, given
    if given := starts.of_environment(environment):
        return starts.ENVIRONMENT, given
    return mains[0], decoded(rights.read(mains[0]))


def _below(listing: object, directory: str, depth: int) -> Iterator[str]:
    """Yield the configuration files of a directory and of those below it, in order of name."""
    assert callable(listing)
    for name in attempt(partial(listing, directory)) or ():
        path = f"{directory}/{name}"
        if name.endswith(_KINDS):
            yield path
        elif depth < _DEEPEST and "." not in name:
            yield from _below(listing, path, depth + 1)


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterator[LogTarget]:
    """Yield the logs of its static configuration; paths are relative to its working directory."""
    for log in dict.fromkeys(log for each in read for log in each.logs):
        if log.path.startswith("/") or not log.path:
            yield log


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return the addresses of its entry points."""
    file, text = texts[0]
    return [point.address for point in starts.understood(text, file).entry_points.values()]


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return none: a router without a service is a problem of the configuration."""
    return ()
