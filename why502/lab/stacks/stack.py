"""A stack, its faults and its healthy days: plain values, defined before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A kind of request that users make."""

    path: str = "/"
    method: str = "GET"
    host: str = "shop.example"
    port: int = 80
    weight: int = 1
    body_bytes: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    websocket: bool = False  # upgrade, then a message a second
    expect: tuple[int, ...] = (200,)  # before the fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that happens to a running stack, and what an experienced engineer would call its cause."""

    id: str
    happens: str
    steps: str  # a shell script, run as root on the machine
    expects: frozenset[str]  # each of these causes is a right answer
    targets: frozenset[str] = frozenset()  # any of these; empty: not judged
    partly: frozenset[str] = frozenset()
    routes: tuple[Route, ...] = ()  # what users ask for from then on, in addition
    failures: int = 12  # clients see so many before the diagnosis
    limit_s: float = 60.0
    patience_s: float = 25.0  # users give up after so long
    settle: str = ""  # a shell condition that holds before the diagnosis (a service that has given up, say)
    users: int = 8
    outside: str = ""  # a shell script run where the other hosts are, before `steps`


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """A healthy day: what happens beside the traffic, none of which is a failure."""

    id: str
    happens: str
    steps: str = "true"
    routes: tuple[Route, ...] = ()
    seconds: float = 15.0
    users: int = 8
    cancels: bool = False  # some users break off a download


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A machine: its files, its services, and what its users ask for."""

    name: str
    about: str
    files: Mapping[str, str]
    setup: str  # a shell script that enables and starts everything, run as root on the machine
    routes: tuple[Route, ...] = (Route(),)
    faults: tuple[Fault, ...] = ()
    calms: tuple[Calm, ...] = ()
    remote: str = ""  # a shell script run outside of the machine: what answers on other hosts; its processes end with the scene
    ready_s: float = 60.0

    @property
    def scenes(self) -> tuple[Fault | Calm, ...]:
        """All that can happen on it."""
        return (*self.faults, *self.calms)


def causes(*names: str) -> frozenset[str]:
    """Return them as a set; reads better where they are told."""
    return frozenset(names)
