"""What a running gateway says about itself: the interface of each product's `admin.py`, and how it is asked.

An admin interface is asked only on this machine, over loopback or a unix socket, only to read, with the rights of the gateway's
owner. What it says of a server is the gateway's view: a probe of ours counts more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import msgspec

from why502 import registry
from why502.gateways.running import Texts
from why502.host.base import Host
from why502.machine import http
from why502.model import foreign_json
from why502.model.config import Route, Upstream
from why502.model.errors import Denied, Expired, HostError
from why502.model.logs import Tally, TargetTraffic
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.proxy import Answered, ConfigProblem, PeerView, Proxy, UnusedRoute
from why502.model.target import Target

ANSWER_S = 1.0  # for one question
GATEWAY_S = 2.5  # for all questions to one gateway
ANSWER_BYTES = 4 << 20
_LOOPBACK = {"": "127.0.0.1", "*": "127.0.0.1", "localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_PATH = lazy(r"/[!-~]{0,500}")
_QUESTION = lazy(r"show [ -~]{1,200}")  # HAProxy's `show` commands change nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where an admin interface should be: as the gateway names the address, and what names it.

    `host_header`: the Host header that it wants; "" for its address.
    """

    target: Target
    named_by: str  # "/etc/caddy/Caddyfile:3", "its command line", "its default"
    host_header: str = ""


@dataclass(slots=True, kw_only=True)
class AdminView:
    """What an admin interface said. `routes`, `upstreams` and `unused_routes` None: those in the files hold.

    `not_in_files`: servers that the running configuration has, and no file names.

    `tallies`: the failed requests that it counts, with the time that its counters cover. `unanswered`: the servers that answered
    no request in that time. `answered`: where it counts 5xx responses since it was started, which may be long ago.
    """

    peers: tuple[PeerView, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()
    routes: tuple[Route, ...] | None = None
    upstreams: tuple[Upstream, ...] | None = None
    not_in_files: tuple[Target, ...] = ()
    unused_routes: tuple[UnusedRoute, ...] | None = None
    tallies: tuple[Tally, ...] = ()
    unanswered: tuple[TargetTraffic, ...] = ()
    answered: tuple[Answered, ...] = ()
    version: str = ""


class Admin(Protocol):
    """The interface of a product's `admin.py`."""

    def doors(self, proxy: Proxy, process: Process, texts: Texts, environment: Mapping[str, str]) -> Iterable[Door]:
        """Return where its admin interface may be, the likeliest first; none if it has none.

        `texts`: path and text of its files. Raises HostError with a hint if it was switched off or is out of reach.
        """
        ...

    def look(self, ask: Asking, proxy: Proxy) -> AdminView:
        """Return what the interface says. Raises HostError."""
        ...


def admin(kind: str) -> Admin | None:
    """Return how a kind of gateway is asked; None for one without an admin interface that we know."""
    return cast("Admin | None", registry.part("why502.gateways", kind, "admin"))


@dataclass(slots=True)
class Asking:
    """Questions to one admin interface. Every method raises HostError, Expired after its time limit."""

    host: Host  # this machine, with all our rights
    proxy: Proxy
    door: Door
    until: float = field(default_factory=lambda: time.monotonic() + GATEWAY_S)

    def get(self, path: str) -> bytes:
        """Return the body of a 200 response to a GET. A redirect is an error like any other status."""
        if not _PATH.fullmatch(path):
            raise HostError(f"{self.door.target}: {path[:80]!r} is not a request that why502 makes")
        answer = http.ask(
            *self._where(),
            path,
            host_header=self.door.host_header or ("localhost" if self.door.target.is_unix else str(self.door.target)),
            limit_bytes=ANSWER_BYTES,
            network_of=self.proxy.away,
            timeout_s=self._left_s(),
        )
        if len(answer) >= ANSWER_BYTES:
            raise HostError(f"{self.door.target}: its answer to {path} is longer than {ANSWER_BYTES >> 20} MiB")
        return answer

    def json(self, path: str) -> Any:
        """Return the decoded body of a 200 response to a GET."""
        try:
            return foreign_json.decode(self.get(path))
        except ValueError as error:
            raise HostError(f"{self.door.target}: its answer to {path} is not JSON") from error

    def command(self, words: str) -> str:
        """Return the answer to one `show` command, which the interface ends by closing the connection."""
        if not _QUESTION.fullmatch(words):
            raise HostError(f"{self.door.target}: {words[:80]!r} is not a command that why502 sends")
        machine, target = self._where()
        timeout_s = self._left_s()
        until = time.monotonic() + timeout_s
        connection = machine.connect(target, timeout_s=timeout_s, network_of=self.proxy.away)
        answer = bytearray()
        try:
            connection.send(f"{words}\n".encode())
            while part := connection.receive(timeout_s=max(0.001, until - time.monotonic())):
                answer += part
                if len(answer) >= ANSWER_BYTES or time.monotonic() >= until:
                    raise Expired(f"{target}: no complete answer to {words!r} within {timeout_s:g} s")
        finally:
            connection.close()
        return answer.decode("utf-8", "replace")

    def _where(self) -> tuple[Host, Target]:
        """Return the machine with the owner's rights, and the address as it must be connected to from here."""
        acting = self.host.acting_as(self.proxy.owner_uid)
        target = self.door.target
        if target.is_unix:
            return acting, Target.unix(self.proxy.root + target.path)
        local = Target(host=_LOOPBACK.get(target.host, target.host), port=target.port)
        if not local.is_loopback:
            raise Denied(f"{target} is not asked: it is not an address of the loopback interface")
        return acting, local

    def _left_s(self) -> float:
        left_s = min(ANSWER_S, self.until - time.monotonic())
        if left_s <= 0:
            raise Expired(f"{self.door.target}: its answers took longer than {GATEWAY_S:g} s in all")
        return left_s


def with_view(proxy: Proxy, view: AdminView, door: Door) -> Proxy:
    """Return a gateway with what its admin interface said."""
    return msgspec.structs.replace(
        proxy,
        admin=str(door.target),
        peers=view.peers,
        not_in_files=view.not_in_files,
        counted=view.tallies,
        unanswered=view.unanswered,
        answered=view.answered,
        problems=(*proxy.problems, *view.problems),
        routes=proxy.routes if view.routes is None else view.routes,
        upstreams=proxy.upstreams if view.upstreams is None else view.upstreams,
        unused_routes=proxy.unused_routes if view.unused_routes is None else view.unused_routes,
        version=proxy.version or view.version,
    )
