"""Traefik's static configuration: from a file, else from its command line, else from its environment.

Sources: doc.traefik.io/traefik/getting-started/configuration-overview and reference/static-configuration;
github.com/traefik/traefik/v3 cmd/traefik (the loaders, and the first of them that finds something is the only one).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from why502.config.yaml_text import NOTHING, Item
from why502.gateways.traefik.config.fields import is_true, part, read, seconds
from why502.model.config import LogKind, LogPlace, LogTarget, Position

ARGUMENTS, ENVIRONMENT = "its command line", "its environment"  # in the place of a file's path
FILES = tuple(f"traefik.{kind}" for kind in ("toml", "yaml", "yml"))
_PREFIX = "TRAEFIK_"
_DEEPEST = 16
_DIAL_S = 30.0
_DEFAULT_PORT = ":80"  # of the entry point `http`, if none is configured
API_PORT = 8080
_LEVEL = "error"  # of its own log, if none is set


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """An address that it listens on. `is_default`: routers that name no entry point are reached there."""

    address: str
    is_tls: bool = False
    is_default: bool = True


@dataclass(frozen=True, slots=True)
class Static:
    """What its start decides; `entry_points` by lower-case name."""

    tree: Item
    file: str
    entry_points: Mapping[str, EntryPoint]

    @property
    def connect_s(self) -> float:
        """How long it waits for a connection, in seconds."""
        return seconds(part(self.tree, "serversTransport", "forwardingTimeouts", "dialTimeout"), _DIAL_S)

    @property
    def answer_s(self) -> float:
        """How long it waits for a response header, in seconds; 0.0 for ever."""
        return seconds(part(self.tree, "serversTransport", "forwardingTimeouts", "responseHeaderTimeout"), 0.0)

    def api_doors(self) -> Iterator[tuple[str, int]]:
        """Yield host and port at which the API may answer, as far as the static configuration tells: `api.insecure`."""
        if is_true(part(self.tree, "api", "insecure")):
            own = self.entry_points.get("traefik", EntryPoint(f":{API_PORT}"))
            host, _, port = own.address.partition("/")[0].rpartition(":")
            if port.isdecimal():
                yield host.strip("[]"), int(port)

    def logs(self) -> Iterator[LogTarget]:
        """Yield its own log and its access log."""
        for name, kind in (("log", LogKind.ERROR), ("accessLog", LogKind.ACCESS)):
            given = part(self.tree, name)
            path, at = part(given, "filePath").text, part(given, "filePath").at or Position(file=self.file, line=1)
            if kind is LogKind.ACCESS and not is_true(given):
                continue
            level = part(given, "level").text.lower() or _LEVEL
            if path:
                yield LogTarget(kind=kind, path=path, level=level if kind is LogKind.ERROR else "", at=at)
            else:  # both go to its standard output, which is read once
                yield LogTarget(kind=LogKind.ACCESS, goes_to=LogPlace.STDERR, at=at)


def understood(text: str, file: str) -> Static:
    """Return the static configuration in a text."""
    tree, _ = read(text, file)
    points = part(tree, "entryPoints").members
    named = {name.lower(): point for name, point in points.items()}
    has_default = any(is_true(part(point, "asDefault")) for point in named.values())
    found = {
        name: EntryPoint(
            address=part(point, "address").text,
            is_tls=bool(part(point, "http", "tls")),
            is_default=is_true(part(point, "asDefault")) if has_default else name != "traefik",
        )
        for name, point in named.items()
    }
    if not any(name != "traefik" for name in found):
        found["http"] = EntryPoint(_DEFAULT_PORT)
    return Static(tree, file, found)


def file_option(argv: Sequence[str]) -> str:
    """Return the configuration file named in a command line; "" if there is none."""
    return str(_flags(argv).get("configfile", ""))


def of_arguments(argv: Sequence[str]) -> str:
    """Return the static configuration of a command line as JSON text; "" if it has none."""
    flags = {name: value for name, value in _flags(argv).items() if name != "configfile"}
    return json.dumps(_nested(flags, ".")) if flags else ""


def of_environment(environment: Mapping[str, str]) -> str:
    """Return the static configuration of an environment as JSON text; "" if it has none."""
    found = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(_PREFIX) and name != f"{_PREFIX}CONFIGFILE"
    }
    return json.dumps(_nested(found, "_")) if found else ""


def dynamic_places(static: Static, cwd: str) -> tuple[str, str]:
    """Return the file and the directory of the file provider; "" where none is named."""
    provider = part(static.tree, "providers", "file")
    names = (part(provider, "filename").text, part(provider, "directory").text)
    file, directory = (posixpath.normpath(posixpath.join(cwd or "/", name)) if name else "" for name in names)
    return ("", directory) if directory else (file, "")


def has_other_providers(static: Static) -> bool:
    """Return whether routes may come from elsewhere than files: Docker, Kubernetes, Consul…"""
    return any(name.lower() not in ("file", "providersthrottleduration") for name in part(static.tree, "providers").members)


def attaches_by_default(static: Static) -> bool | None:
    """Return whether the Docker provider gives routes to containers that no label enables; None without that provider."""
    for name, provider in part(static.tree, "providers").members.items():
        if name.lower() == "docker" and is_true(provider):
            return is_true(part(provider, "exposedByDefault"), default=True)
    return None


def _flags(argv: Sequence[str]) -> dict[str, str]:
    """Return the flags of a command line by lower-case name: `--a.b=c`, `--a.b c`; one without a value is "true"."""
    found: dict[str, str] = {}
    words = list(argv)
    for number, word in enumerate(words):
        if not word.startswith("-") or word.strip("-") == "":
            continue
        name, given, value = word.lstrip("-").partition("=")
        after = words[number + 1] if number + 1 < len(words) else ""
        found[name.lower()] = value if given else after if after and not after.startswith("-") else "true"
    return found


def _nested(flat: Mapping[str, str], separator: str) -> dict[str, Any]:
    """Return a tree of names joined by a separator. A name that has members loses its own value (`--api --api.insecure`)."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        inner = tree
        *above, last = name.split(separator)[:_DEEPEST]
        for step in above:
            below = inner.get(step)
            inner[step] = inner = below if isinstance(below, dict) else {}
        if not isinstance(inner.get(last), dict):
            inner[last] = value
    return tree


NO_STATIC = Static(NOTHING, "", {"http": EntryPoint(_DEFAULT_PORT)})
