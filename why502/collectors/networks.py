"""The machine's other network namespaces: those of containers and pods, with their names and addresses.

They show where a connection really ends: 127.0.0.1 is another place for each proxy, and the address of a container belongs to one
namespace. The addresses are those in /proc/PID/net (proc_pid_net(5)), so no namespace is entered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from why502.collectors.addresses import parse_fib_trie, parse_if_inet6
from why502.collectors.base import CollectOptions, Found
from why502.host.base import Host
from why502.host.trust import NOBODY
from why502.machine import containers, suppliers
from why502.machine.attempt import attempt
from why502.machine.process_table import ProcessTable, parse_cgroup, without_crowds
from why502.model.snapshot import Gap, NetworkSpace, Snapshot

SECTION = "networks"
NEEDS = ("proxies",)
LIMIT_S = 2.5
NETWORKS = 256
FILE_BYTES = 1 << 18
FILES = ("net/fib_trie", "net/if_inet6", "net/route", "cgroup")
_UP = 1  # RTF_UP


def collect(host: Host, known: Snapshot, options: CollectOptions) -> Found[tuple[NetworkSpace, ...]]:
    """Return the network namespaces of all processes except ours, those of proxies first. Raises HostError."""
    if options.offline:
        return Found(None)
    table = ProcessTable(host)
    stats = table.stats()
    pids = {proxy.network: proxy.pid for proxy in known.proxies or () if proxy.network and proxy.pid}
    for pid, inode in table.networks(without_crowds(stats)).items():
        if inode:
            pids.setdefault(inode, pid)
    gaps = []
    if len(pids) > NETWORKS:
        gaps.append(Gap(source="networks", reason=f"only {NETWORKS} of {len(pids)} network namespaces were examined"))
    chosen = dict(list(pids.items())[:NETWORKS])
    paths = [f"/proc/{pid}/{name}" for pid in chosen.values() for name in FILES]
    contents = iter(host.read_all(paths, limit_bytes=FILE_BYTES))
    found = []
    forwards = [
        one
        for pid, argv in table.titles(_is_forwarder).items()
        if (one := containers.forwarded(argv)) is not None and attempt(partial(suppliers.of_process, host, pid)) == suppliers.ROOT
    ]
    for (inode, pid), v4, v6, routes, cgroup in zip(chosen.items(), *[contents] * len(FILES), strict=False):
        addresses = (*parse_fib_trie(_text(v4)), *parse_if_inet6(_text(v6)))
        path, _, container = parse_cgroup(_text(cgroup))
        name = f"{stats[pid].name} (pid {pid})" if pid in stats else f"process {pid}"
        published = [one for one in forwards if one.inner.host in addresses]
        if container:
            described = containers.container_of(host, table, pid, container, path)
            name = described.words
            published_pairs = {(one.outer, one.inner) for one in published}
            published += [one for one in described.published if (one.outer, one.inner) not in published_pairs]
        found.append(
            NetworkSpace(
                inode=inode,
                pid=pid,
                name=name,
                container=container,
                addresses=tuple(dict.fromkeys(addresses)),
                subnets=_subnets(addresses, parse_routes(_text(routes))),
                published=tuple(published),
                owner_uid=_owner(table, pid, path, container),
            )
        )
    return Found(tuple(found), tuple(gaps))


def parse_routes(text: str) -> tuple[str, ...]:
    """Return the networks without a gateway in a /proc/PID/net/route; its numbers are hexadecimal in the machine's byte order."""
    found = []
    for row in (line.split() for line in text.splitlines()[1:]):
        try:
            destination, gateway, flags, mask = (int(row[column], 16) for column in (1, 2, 3, 7))
            packed = [IPv4Address(number.to_bytes(4, sys.byteorder)) for number in (destination, mask)]
            network = IPv4Network(f"{packed[0]}/{packed[1]}")
        except (IndexError, ValueError, OverflowError):
            continue
        if flags & _UP and not gateway and network.prefixlen:
            found.append(str(network))
    return tuple(dict.fromkeys(found))


def _subnets(addresses: Sequence[str], networks: Sequence[str]) -> dict[str, str]:
    """Return the smallest of the networks that each IPv4 address is in. They are compared as text, which survives --anonymize."""
    ranked = sorted(map(IPv4Network, networks), key=lambda network: -network.prefixlen)
    found = {}
    for address in addresses:
        network = next((each for each in ranked if ":" not in address and IPv4Address(address) in each), None)
        if network is not None:
            found[address] = str(network)
    return found


def _is_forwarder(name: str) -> bool:
    return name == "docker-proxy"


def _owner(table: ProcessTable, pid: int, cgroup: str, container: str) -> int:
    """Return the user who could have made a namespace: root, if its user namespace is ours or only root can name its cgroup."""
    if table.is_of_our_users(pid):
        return 0
    uid = containers.owner(cgroup)
    return uid or (0 if container else NOBODY)


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
