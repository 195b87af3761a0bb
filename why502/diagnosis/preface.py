"""The PROXY header: finds gateways of this machine that send it to a target that does not expect it, and the reverse.

What each product sends and expects stands in its `behaviour`. Source: proxy-protocol.txt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from why502.diagnosis.index import Joins
from why502.diagnosis.targets import addresses
from why502.gateways.behaviour import behaviour
from why502.gateways.listens import accepts_target, listen_end
from why502.model.config import Route
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

_MOST = 2000  # addresses that are compared


def unmet(joins: Joins) -> dict[Target, str]:
    """Return, by target, the mismatch between what one gateway of this machine sends first and what the next one expects."""
    return joins.once(_unmet)


def _unmet(joins: Joins) -> dict[Target, str]:
    here = joins.here
    own = set(here.addresses or ())
    listening = {id(proxy): _Listens(proxy) for proxy in here.proxies or ()}
    found: dict[Target, str] = {}
    for target, proxy, route in _passed(here):
        if target in found or len(found) >= _MOST or not (target.is_unix or target.is_loopback or target.host in own):
            continue
        stated = behaviour(route.proxy).sends_preface
        sends = stated(route) if stated else None
        wanted = _wanted(target, proxy.network, here, listening) if sends is not None else None
        if sends is None or wanted is None or wanted[0] is sends:
            continue
        sender = f"{proxy.kind} sends {'a' if sends else 'no'} PROXY header to {target} ({route.at})"
        found[target] = f"{sender}, and {wanted[1]} {'requires one' if wanted[0] else 'does not expect one'}"
    return found


def _passed(here: Snapshot) -> Iterator[tuple[Target, Proxy, Route]]:
    """Yield the addresses that running gateways pass requests or connections to, from configurations that are loaded."""
    for proxy in here.proxies or ():
        if not proxy.is_running or not _is_loaded(proxy):
            continue
        for route in {id(route.peers): route for route in proxy.routes}.values():
            for peer in route.peers:
                for target in () if peer.is_down or peer.is_backup else addresses(peer, here):
                    yield target, proxy, route


def _is_loaded(proxy: Proxy) -> bool:
    return not (proxy.changed_at and proxy.loaded_at and proxy.changed_at > proxy.loaded_at)


class _Listens:
    """The addresses that a gateway listens on, by port or path, with the route if one has the address.
    With this index a target is compared with few of them.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._all: dict[str, list[tuple[str, Route | None]]] = {}
        for route in proxy.routes:
            for word in route.listens:
                self._all.setdefault(listen_end(word), []).append((word, route))
        for server in proxy.servers:
            for word in server.listens:
                self._all.setdefault(listen_end(word), []).append((word, None))

    def at(self, target: Target) -> list[tuple[str, Route | None]]:
        """Return those that take connections to a target."""
        end = target.path if target.is_unix else str(target.port)
        return [(word, route) for word, route in self._all.get(end, ()) if accepts_target(word, target)]


def _wanted(target: Target, network: str, here: Snapshot, listening: Mapping[int, _Listens]) -> tuple[bool, str] | None:
    """Return whether the gateway that listens on a target requires a PROXY header, and its setting's place; None if unknown."""
    for proxy in here.proxies or ():
        if not proxy.is_running or proxy.network != network or not _is_loaded(proxy):
            continue
        wants = behaviour(proxy.kind).wants_preface
        found = wants(proxy, target, listening[id(proxy)].at(target), here.processes or ()) if wants else None
        if found is not None:
            return found
    return None
