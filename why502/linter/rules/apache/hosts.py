"""The virtual hosts of a deployment of Apache httpd, and their directives, as the rules look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from why502.deployment.files import Deployment
from why502.gateways.apache.config import access_files
from why502.gateways.apache.config.directives import Directive, Reader
from why502.model.patterns import lazy

_URL = lazy(r"(?P<scheme>[a-z0-9+]{1,10})://(?P<host>\[[^\]]+\]|[^/:]*)(?::(?P<port>\d{1,5}))?(?P<path>/.*)?", re.IGNORECASE)
_UNIX = lazy(r"unix:[^|]{0,300}\|")


@dataclass(slots=True)
class Pass:
    """A ProxyPass: the path that it takes, and the URL or `!`. `is_place`: it stands in a <Location>, whose path it has."""

    at: Directive
    path: str
    url: str
    is_place: bool


@lru_cache(4)
def directives(deployment: Deployment) -> tuple[Directive, ...]:
    """Return the directives in force, in the order in which httpd reads them."""
    own, _ = access_files.split(deployment.configuration.trees)
    return tuple(Reader(own).directives())


@lru_cache(4)
def by_host(deployment: Deployment) -> dict[int, list[Directive]]:
    """Return the directives of each virtual host by its number, 0 for those outside of all."""
    found: dict[int, list[Directive]] = {0: []}
    for each in directives(deployment):
        found.setdefault(each.scope.host, []).append(each)
    return found


def passes(lines: list[Directive], name: str = "proxypass") -> Iterator[Pass]:
    """Yield the ProxyPass lines among some directives, or those of the other name that has the same form."""
    for each in lines:
        if each.name != name or not each.args or each.scope.conditions:
            continue
        kind = each.scope.section.partition(" ")[0].lower()
        if kind == "location":
            yield Pass(each, each.scope.path, each.args[0], True)
        elif not kind and len(each.args) > 1:
            yield Pass(each, each.args[0], each.args[1], False)


def value(lines: list[Directive], name: str) -> str:
    """Return the first argument of the last directive of that name, in lower case; "" if it is not set."""
    return next((each.args[0].lower() for each in reversed(lines) if each.name == name and each.args), "")


@lru_cache(1 << 15)
def parts(url: str) -> re.Match[str] | None:
    """Return scheme, host, port and path of the URL of a worker."""
    return _URL.fullmatch(_UNIX.sub("", url))


def is_below(path: str, prefix: str) -> bool:
    """Return whether a path equals a prefix or is below it, in whole segments as mod_proxy compares them."""
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "/")
