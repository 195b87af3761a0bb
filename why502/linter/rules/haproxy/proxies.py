"""The sections of a deployment of HAProxy, and the servers in them, as the rules look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from why502.deployment.files import Deployment
from why502.gateways.haproxy.config.sections import Line, Section, sections
from why502.gateways.haproxy.server_tls import options
from why502.model.config import Position
from why502.model.patterns import lazy

FRONTS = ("frontend", "listen")
BACKS = ("backend", "listen")
_ADDRESS = lazy(r"\[?[0-9a-fA-F:.]*\]?(?::[+-]?\d+)?")
_ALREADY = lazy(r"^(?:ipv[46]|tcp[46]?|udp[46]?|quic[46]|unix|abns|fd|sockpair|rev|rhttp)@")


@dataclass(frozen=True, slots=True)
class Server:
    """A `server` or `server-template` line with the options in force, those of `default-server` included."""

    name: str
    address: str
    options: dict[str, str]
    at: Position
    is_template: bool = False

    @property
    def is_dormant(self) -> bool:
        """Whether it gets no requests as configured: disabled, or only a reserve."""
        return "disabled" in self.options or "backup" in self.options

    @property
    def host_name(self) -> str:
        """The host name in its address; "" for an IP address, a socket, or one with a variable."""
        if (
            self.address.startswith("/")
            or "$" in self.address
            or _ALREADY.match(self.address)
            or _ADDRESS.fullmatch(self.address)
        ):
            return ""
        return re.sub(r":[+-]?\d*$", "", self.address).lower()


@lru_cache(4)
def all_of(deployment: Deployment) -> tuple[Section, ...]:
    """Return the sections of a deployment; those of its `defaults` and `global` too."""
    return tuple(sections(deployment.configuration.trees))


def proxies(deployment: Deployment, *kinds: str) -> Iterator[Section]:
    """Return the proxies of these kinds that are in force for sure: not those in a condition whose outcome is unknown."""
    return (section for section in _in_force(deployment) if section.kind in kinds)


@lru_cache(4)
def _in_force(deployment: Deployment) -> tuple[Section, ...]:
    return tuple(section for section in all_of(deployment) if section.name and not any(line.condition for line in section.lines))


def servers(section: Section) -> list[Server]:
    """Return the servers of a section, in order."""
    given: dict[str, str] = {}
    found = []
    for line in section.inherited():
        words = line.words
        if words[0] == "default-server":
            given = options(words[1:], given)
        elif words[0] == "server" and len(words) >= 3:
            found.append(Server(words[1], words[2], options(words[3:], given), line.at))
        elif words[0] == "server-template" and len(words) >= 4:
            found.append(Server(words[1], words[3], options(words[4:], given), line.at, is_template=True))
    return found


def mode(section: Section) -> str:
    """Return `http` or `tcp`, the default."""
    return (section.words("mode") or ("tcp",))[0]


def rules(section: Section, *names: str) -> Iterator[Line]:
    """Yield the lines with one of these keywords, those that the section inherits first."""
    return (line for line in section.inherited() if line.words[0] in names)


def globals_of(deployment: Deployment, name: str) -> tuple[str, ...]:
    """Return the arguments of a setting of `global`; () if it is not set."""
    found = (
        line.words[1:]
        for section in all_of(deployment)
        if section.kind == "global"
        for line in section.lines
        if line.words[0] == name
    )
    return next(found, ())
