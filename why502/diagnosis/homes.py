"""Where a connection ends: in which of the machine's network namespaces a target is, seen from a proxy's."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from why502.model.snapshot import NetworkSpace, Snapshot
from why502.model.target import Target


class Homes:
    """The network namespaces of one snapshot by their addresses. "" is the machine's own namespace, others have their inode."""

    def __init__(self, here: Snapshot) -> None:
        self._own = frozenset(here.addresses or ())
        self.spaces: dict[str, NetworkSpace] = {space.inode: space for space in here.networks or ()}
        self._by_address: dict[str, list[NetworkSpace]] = {}
        for space in self.spaces.values():
            for address in space.addresses:
                self._by_address.setdefault(address, []).append(space)

    def of(self, target: Target, network: str) -> str | None:
        """Return the namespace in which a connection from `network` to a target ends; None if it is not on this machine, or
        unknown.

        Anybody may make a namespace with any address in it: of another user's namespaces, none counts.
        """
        space = self.spaces.get(network)
        if target.is_unix or target.is_loopback or (space is not None and target.host in space.addresses):
            return network
        if target.host in self._own:
            return ""
        owner = space.owner_uid if space else 0
        found = [one for one in self._by_address.get(target.host, ()) if one.owner_uid in (0, owner)]
        return found[0].inode if len(found) == 1 else None

    def owner(self, network: str) -> int | None:
        """Return the user who could have made a namespace; None if that is unknown."""
        space = self.spaces.get(network)
        return space.owner_uid if space is not None else None

    def is_beside(self, network: str, target: Target) -> bool | None:
        """Return whether a container has a network in common with an address of another; None if that is unknown."""
        space = self.spaces.get(network)
        if space is None or not space.subnets or ":" in target.host:
            return None
        try:
            return any(ip_address(target.host) in ip_network(subnet) for subnet in space.subnets)
        except ValueError:
            return None

    def name(self, network: str) -> str:
        """Return what a namespace is called, as part of a sentence: "container shop-app (3f9a…)", "this host"."""
        space = self.spaces.get(network)
        if not network:
            return "this host"
        if space is None:
            return "another network namespace"
        return f"container {space.name}" if space.container else f"the network namespace of {space.name}"
