"""Running gateways: the interface of each product's `running.py`, and reading files with includes."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Protocol, cast

import msgspec

from why502 import registry
from why502.config.configuration import Configuration
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.machine.suppliers import Rights
from why502.model.config import LogTarget, Route
from why502.model.process import Process
from why502.model.proxy import ConfigFile, Proxy
from why502.model.times import of_epoch

MOST_FILES = 256
_LIMIT_BYTES = 4 << 20
Texts = list[tuple[str, str]]  # path and text of each file, in the gateway's reading order


class Gateway(Protocol):
    """A product identified by its process names, with its configuration in files."""

    KIND: str  # as in Proxy.kind
    MAIN: Mapping[str, str]  # the usual configuration file, by the name of the main process
    OPTIONS: tuple[str, ...]  # command-line options that name a configuration file
    WORKERS: frozenset[str]  # names of its workers if they differ from the master's
    TEST: str  # the command that tests a configuration; {} is its main file
    IS_ALWAYS_PROXY: bool  # if so, unreadable files are a gap

    def texts(self, rights: Rights, process: Process, mains: list[str]) -> Iterator[tuple[str, str]]:
        """Yield path and text of each file. Raises HostError if a main file cannot be read."""
        ...

    def load(self, text: str, file: str) -> Configuration:
        """Return the configuration in the text of one file."""
        ...

    def logs(self, host: Host, process: Process, texts: Texts, read: list[Configuration]) -> Iterable[LogTarget]:
        """Return its logs."""
        ...

    def lost_routes(self, rights: Rights, texts: Texts) -> Iterable[Route]:
        """Return the routes to groups that do not exist, as far as the files show."""
        ...

    def owner(self, host: Host, pid: int) -> int:
        """Return the user who supplies a main process's title and arguments. Raises HostError."""
        ...


class Installed(Gateway, Protocol):
    """A gateway that is also searched for when stopped."""

    UNITS: Mapping[str, str]  # the systemd unit, by the name of the main process

    def listens(self, texts: Texts, read: list[Configuration]) -> Iterable[str]:
        """Return its listening addresses, as written."""
        ...


@cache
def gateways() -> tuple[Gateway, ...]:
    """Return all products found this way, in order of name."""
    return tuple(cast(Gateway, module) for module in registry.parts("why502.gateways", "running"))


@cache
def installed() -> tuple[Installed, ...]:
    """Return those that are also searched for when stopped."""
    return tuple(cast(Installed, gateway) for gateway in gateways() if hasattr(gateway, "UNITS"))


@cache
def by_kind() -> dict[str, Gateway]:
    """Return them by their `Proxy.kind`."""
    return {gateway.KIND: gateway for gateway in gateways()}


@cache
def by_process() -> dict[str, Gateway]:
    """Return them by the names of their main processes."""
    return {name: gateway for gateway in gateways() for name in gateway.MAIN}


def understood(
    gateway: Gateway, rights: Rights | None, texts: Texts, environment: Callable[[], Mapping[str, str] | None]
) -> list[Configuration]:
    """Return the configuration in the files: in one, where the product reads them as one text (`together`), else one for each.

    With `rights`, the files that the product reads with each request (`live`) are among them. environment: returns the variables
    of the running process, or None if they are unknown.
    """
    together = cast("Callable[[Texts, Mapping[str, str] | None], Configuration] | None", getattr(gateway, "together", None))
    if together is None:
        return [gateway.load(text, path) for path, text in texts]
    live = cast("Callable[[Rights, Texts], Iterable[tuple[str, str]]] | None", getattr(gateway, "live", None))
    return [together([*texts, *(live(rights, texts) if live and rights else ())], environment())]


def environment_of(host: Host, process: Process, names: Iterable[str]) -> dict[str, str] | None:
    """Return those variables of a running process that are set, of these names; None if that cannot be read."""
    content = attempt(partial(host.read, f"/proc/{process.pid}/environ")) if process.pid else None
    if content is None:
        return None
    wanted = frozenset(names)
    words = content.decode("utf-8", "surrogateescape").split("\0")
    return {name: value for name, _, value in (word.partition("=") for word in words) if name in wanted}


def supplied(rights: Rights, files: Iterable[ConfigFile]) -> tuple[ConfigFile, ...]:
    """Return the files with the user who controls each, and the time of its last change."""
    return tuple(
        msgspec.structs.replace(
            file,
            owner_uid=rights.supplier(file.path),
            modified_at=None if file.is_live else _modified_at(rights.own, file.path),
        )
        for file in files
    )


def _modified_at(host: Host, path: str) -> datetime | None:
    stat = attempt(partial(host.stat, path))
    return None if stat is None else of_epoch(stat.modified_s)


def changed_at(files: Iterable[ConfigFile]) -> datetime | None:
    """Return when a configuration changed last; None if that is not known of any file."""
    return max((file.modified_at for file in files if file.modified_at), default=None)


def texts_of(host: Host, proxy: Proxy) -> Texts:
    """Return path and text of each file that a gateway loads at its start. Raises HostError if one cannot be read."""
    rights = Rights(host, proxy.owner_uid, proxy.root)
    loaded = (file for file in proxy.files if not file.is_live)
    return [(file.path, file.text or decoded(rights.of(file.path).read(file.path))) for file in loaded]


def decoded(content: bytes) -> str:
    """Return the text of a configuration file, for any bytes."""
    return content[:_LIMIT_BYTES].decode("utf-8", "surrogateescape")


def included(rights: Rights, main: str, names: Callable[[str, str], Iterable[str]]) -> Iterator[tuple[str, str]]:
    """Yield the main file and its includes, each once, each read with the rights of the supplier of the including file.

    names: returns the paths and patterns that a file includes, from its path and text. Raises HostError if the main file
    cannot be read.
    """
    left, done = [(main, "")], set[str]()
    while left and len(done) < MOST_FILES:
        path, by = left.pop(0)
        if path in done:
            continue
        done.add(path)
        content = rights.read(path) if not by else attempt(partial(rights.reading(by)[0], path))
        if content is None:
            continue
        text = decoded(content)
        yield path, text
        for pattern in names(path, text):
            left += [(each, path) for each in _fitting(rights.of(path), pattern)]


def _fitting(host: Host, pattern: str) -> list[str]:
    """Return the files of an include: a file, all files in a directory, or the matches of a pattern."""
    paths = [""] if pattern.startswith("/") else []
    for part in pattern.strip("/").split("/"):
        if not re.search(r"[*?\[]", part):
            paths = [f"{path}/{part}" for path in paths]
            continue
        paths = [
            f"{path}/{name}"
            for path in paths
            for name in attempt(partial(host.list, path or "/")) or ()
            if fnmatch.fnmatchcase(name, part)
        ][:MOST_FILES]
    return [
        inner
        for path in paths
        for names in (attempt(partial(host.list, path)),)
        for inner in ([path] if names is None else [posixpath.join(path, name) for name in names])
    ]
