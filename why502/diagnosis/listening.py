"""Which listeners take connections to a target, and which targets have none."""

from __future__ import annotations

from collections.abc import Iterable

from why502.diagnosis.answering import responding
from why502.diagnosis.homes import Homes
from why502.diagnosis.spares import idle_spares
from why502.diagnosis.targets import addresses, peer_sets, targets
from why502.model.snapshot import Listener, Snapshot
from why502.model.target import Target

WIDE = frozenset({"0.0.0.0", "::"})  # a listener there takes connections to several addresses
REACHES_OTHERS = WIDE | {"localhost"}  # a connection to it reaches sockets with other addresses


def accepts(listening: Target, wanted: Target, only_v6: bool | None = None) -> bool:
    """Return whether a socket listening on one target takes connections to the other (ipv6(7): a `::` socket takes IPv4 too)."""
    if listening.is_unix or wanted.is_unix:
        return listening.path == wanted.path and listening.is_unix == wanted.is_unix
    if listening.port != wanted.port:
        return False
    if listening.host == wanted.host:
        return True
    if listening.host == "0.0.0.0":
        return ":" not in wanted.host
    if listening.host == "::":
        return ":" in wanted.host or not only_v6
    if wanted.host in ("0.0.0.0", "::"):  # connecting to the wildcard reaches loopback
        return listening.is_loopback
    return wanted.host == "localhost" and listening.is_loopback


def takes(listener: Listener, wanted: Target) -> bool:
    """Return whether a listener takes connections to a target, under any of its names.

    False if the path that a unix socket was bound to now leads to another file, or to none.
    """
    if wanted.is_unix and wanted.path in listener.names:
        return True
    return listener.is_at_path is not False and accepts(listener.target, wanted, listener.only_v6)


class Doors:
    """Listeners by the targets whose connections they may take: thousands may share a port."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._exact: dict[tuple[str, int, str], list[tuple[int, Listener]]] = {}
        self._wide: dict[int, list[tuple[int, Listener]]] = {}
        self.by_port: dict[int, list[Listener]] = {}
        for place, one in enumerate(listeners):
            target = one.target
            self.by_port.setdefault(target.port, []).append(one)
            if target.host in WIDE:
                self._wide.setdefault(target.port, []).append((place, one))
            else:
                self._exact.setdefault((target.host, target.port, target.path), []).append((place, one))
                for name in one.names:
                    self._exact.setdefault(("", 0, name), []).append((place, one))

    def near(self, wanted: Target) -> list[Listener]:
        """Return the listeners that may take connections to a target, in order; `takes` decides for each."""
        if wanted.host in REACHES_OTHERS:
            return self.by_port.get(wanted.port, [])
        exact = self._exact.get((wanted.host, wanted.port, wanted.path), [])
        wide = [] if wanted.is_unix else self._wide.get(wanted.port, [])
        found = sorted((*exact, *wide), key=lambda each: each[0]) if exact and wide else exact or wide
        return [one for _, one in found]


def targets_without_listener(snapshot: Snapshot) -> tuple[Target, ...] | None:
    """Return the targets on this machine that a running proxy names and nothing listens on; None if listeners are unknown.

    A target that answered our own request has a listener, whatever the name of its socket.
    """
    if snapshot.listeners is None:
        return None
    answering = responding(snapshot)
    homes = Homes(snapshot)
    doors = Doors(snapshot.listeners)
    spares = idle_spares(snapshot)
    wanted = (
        (target, home)
        for proxy in snapshot.proxies or ()
        if proxy.is_running
        for peers in peer_sets(proxy.routes)
        for peer in peers
        if not peer.is_down
        for target in addresses(peer, snapshot)
        if target not in spares and (proxy.network, target) not in answering
        if (home := homes.of(target, proxy.network)) is not None
    )
    return tuple(
        target
        for target, home in dict.fromkeys(wanted)
        if not any(takes(x, target) for x in doors.near(target) if target.is_unix or x.network == home)
    )


def frozen(snapshot: Snapshot) -> tuple[Target, ...]:
    """Return the targets on this machine whose only listeners are stopped processes (state T): connections succeed,
    but get no answer.
    """
    stopped = {process.pid for process in snapshot.processes or () if process.is_stopped}
    if not stopped or snapshot.listeners is None:
        return ()
    doors = Doors(snapshot.listeners)
    known = {process.pid for process in snapshot.processes or ()}
    found = []
    for target in targets(snapshot):
        owners = {pid for x in doors.near(target) if takes(x, target) for pid in x.pids} & known
        if owners and owners <= stopped:
            found.append(target)
    return tuple(found)
