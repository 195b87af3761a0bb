"""The network path from this machine to each remote target: its route, and whether the next hop answers (`paths`).

It distinguishes a host that is down (no ARP answer) and a missing route from a firewall that rejects.
"""

from __future__ import annotations

import json
from typing import Any

from why502.collectors.base import CollectOptions, Found
from why502.collectors.owners import wanted
from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.snapshot import NetworkPath, Snapshot

SECTION = "paths"
NEEDS = ("names",)
LIMIT_S = 2.5
ADDRESSES = 16  # maximum addresses

# Messages of `ip route get` for an unreachable address (fib_props in the kernel's net/ipv4/fib_semantics.c).
_REFUSALS = {
    "No route to host": "unreachable",
    "Permission denied": "prohibit",
    "Invalid argument": "blackhole",
    "Network is unreachable": "none",
}


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[NetworkPath, ...]]:
    """Return the path to each remote address. Raises HostError if ip(8) is missing."""
    if options.offline:
        return Found(None)
    own = set(known.addresses or ())
    hosts = dict.fromkeys(t.host for t in wanted(known) if t.is_address and not t.is_loopback and t.host not in own)
    return Found(tuple(look(host, address) for address in list(hosts)[:ADDRESSES]))


def look(host: Host, address: str) -> NetworkPath:
    """Return the path to one address. Raises HostError if ip(8) is missing."""
    answer = host.run("ip", "-j", "route", "get", address, timeout_s=1.0)
    if answer.status != 0:
        return NetworkPath(address=address, route=refusal(answer.stderr))
    route = parse(answer.stdout)
    gateway, device = str(route.get("gateway", "")), str(route.get("dev", ""))
    state = ""
    try:
        shown = host.run("ip", "-j", "neigh", "show", "to", gateway or address, "dev", device, timeout_s=1.0)
        states = parse(shown.stdout).get("state", [])
        state = str(states[0]) if states else ""
    except HostError:
        pass
    kind = str(route.get("type", "unicast"))
    return NetworkPath(address=address, route=kind, device=device, gateway=gateway, neighbour=state)


def refusal(message: str) -> str:
    """Return the route type for a message of `ip route get`; "none" for any other."""
    return next((kind for words, kind in _REFUSALS.items() if words in message), "none")


def parse(output: str) -> dict[str, Any]:
    """Return the first object in the output of `ip -j`; {} if there is none."""
    try:
        found = json.loads(output or "[]")
    except ValueError:
        return {}
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
