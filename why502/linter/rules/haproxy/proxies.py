"""The sections of a deployment of HAProxy, and the servers in them, as the rules look at them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from why502.deployment.files import Deployment
from why502.gateways.haproxy.config.sections import Line, Section, Server, sections

FRONTS = ("frontend", "listen")
BACKS = ("backend", "listen")


def all_of(deployment: Deployment) -> list[Section]:
    """Return the sections of a deployment; those of its `defaults` and `global` too."""
    return sections(deployment.configuration.trees)


@lru_cache(16)
def proxies(deployment: Deployment, *kinds: str) -> tuple[Section, ...]:
    """Return the proxies of these kinds that are in force for sure: not those in a condition whose outcome is unknown."""
    return tuple(section for section in _in_force(deployment) if section.kind in kinds)


@lru_cache(4)
def _in_force(deployment: Deployment) -> tuple[Section, ...]:
    return tuple(section for section in all_of(deployment) if section.name and not any(line.condition for line in section.lines))


def servers(section: Section) -> list[Server]:
    """Return the servers of a section, in order."""
    return section.servers


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
