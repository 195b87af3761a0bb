"""Bare connections of an application that a gateway of the machine passes on to what the application depends on."""

from __future__ import annotations

from dataclasses import dataclass

from why502.diagnosis.case import Case
from why502.diagnosis.listening import accepts
from why502.diagnosis.need_words import ENDS
from why502.diagnosis.needs import Need
from why502.diagnosis.targets import addresses
from why502.diagnosis.waiting import dependency_errors
from why502.model.config import Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Dependency
from why502.model.target import Target

SHORT_S = 60.0  # a query may be silent for that long


@dataclass(frozen=True, slots=True)
class Stream:
    """A route for bare connections between an application and a server that runs. `limit_s`: how long it may be silent."""

    gateway: str
    entrance: Target
    end: Target
    route: Route
    limit_s: float


def cut_short(case: Case) -> Stream | None:
    """Return the route that ends the application's connections because they are silent for longer than its short limit: the
    application reports that they end, and what it depends on listens; else None.
    """
    cut = [need for need, _ in dependency_errors(case) if need.how == ENDS]
    if not cut:
        return None
    for peer in case.dependencies:
        stream = _stream_of(case, peer)
        if stream is not None and any(_may_mean(need, peer) for need in cut):
            return stream
    return None


def _may_mean(need: Need, peer: Dependency) -> bool:
    return need.place is None or need.place.port == peer.peer.port


def gateway_at(case: Case, peer: Dependency) -> Proxy | None:
    """Return the gateway of this machine that holds a dependency's address; None if another program does."""
    return next((proxy for proxy in case.here.proxies or () if peer.pid in proxy.pids), None)


def _stream_of(case: Case, peer: Dependency) -> Stream | None:
    proxy = gateway_at(case, peer)
    for route in proxy.routes if proxy is not None else ():
        ports = {word.split(" ")[0].rpartition(":")[2] for word in route.listens}
        if route.protocol != "tcp" or str(peer.peer.port) not in ports or not 0 < route.read_timeout_s < SHORT_S:
            continue
        ends = [end for each in route.peers for end in addresses(each, case.here)]
        heard = [end for end in ends if any(accepts(listener.target, end) for listener in case.here.listeners or ())]
        if proxy is not None and ends and heard == ends:
            return Stream(proxy.kind, peer.peer, ends[0], route, route.read_timeout_s)
    return None
