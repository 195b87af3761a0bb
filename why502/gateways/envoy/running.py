"""An Envoy on this machine: its files and its logs.

Sources: envoy --help; docs/root/operations/cli.rst; docs/root/configuration/overview/xds_api.rst (files as a discovery service).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from why502.config.configuration import Configuration
from why502.gateways.envoy.config import absolute, load, paths, routes_between
from why502.gateways.running import Texts, included
from why502.host.base import Host
from why502.machine.suppliers import Rights
from why502.machine.suppliers import of_process as owner
from why502.model.config import LogKind, LogPlace, LogTarget, Route
from why502.model.process import Process

__all__ = ["load", "owner"]

KIND = "envoy"
MAIN = {"envoy": "/etc/envoy/envoy.yaml"}
OPTIONS = ("-c", "--config-path")
WORKERS: frozenset[str] = frozenset()
UNITS = {"envoy": "envoy.service"}
TEST = "envoy --mode validate -c {}"
IS_ALWAYS_PROXY = True
ARGUMENT = "envoy --config-yaml"  # the name of a configuration that is not in a file


def texts(rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the main file, the files that it names as its discovery services, and what is written on the command line.

    Raises HostError.
    """
    written = option(process, ("--config-yaml",))
    if not written or option(process, OPTIONS):

        def names(path: str, text: str) -> Iterator[str]:
            return (absolute(each, process.cwd) for each in paths(text, path))

        yield from included(rights, mains[0], names)
    if written:
        yield ARGUMENT, written


def words(process: Process) -> list[str]:
    """Return the words of a command line, `--option=value` as two."""
    return [part for word in process.argv[1:] for part in (word.split("=", 1) if word.startswith("--") else (word,))]


def option(process: Process, names: tuple[str, ...]) -> str:
    """Return the value of an option: `-c FILE`, `--config-path=FILE`; "" without it."""
    return next((after for word, after in pairwise(words(process)) if word in names), "")


def logs(host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterator[LogTarget]:
    """Yield the access logs named in its files, and its own messages."""
    yield from (log for each in read for log in each.logs)
    path = option(process, ("--log-path",))
    place = LogPlace.FILE if path else LogPlace.STDERR
    yield LogTarget(kind=LogKind.ERROR, path=absolute(path, process.cwd) if path else "", goes_to=place)


def listens(texts: Texts, read: list[Configuration]) -> list[str]:
    """Return the addresses of its listeners."""
    return [str(target) for each in read for target in each.listens]


def lost_routes(rights: Rights, texts: Texts) -> tuple[Route, ...]:
    """Return the routes from one of its files to a cluster in another."""
    return routes_between(texts)
