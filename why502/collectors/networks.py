"""The machine's other network namespaces: those of containers and pods, with their names and addresses.

They show where a connection really ends: 127.0.0.1 is another place for each proxy, and the address of a container belongs to one
namespace. The addresses are those in /proc/PID/net (proc_pid_net(5)), so no namespace is entered.
"""

from __future__ import annotations

from why502.collectors.addresses import parse_fib_trie, parse_if_inet6
from why502.collectors.base import Ask, Found
from why502.host.base import Host
from why502.host.trust import NOBODY
from why502.machine import containers
from why502.machine.process_table import ProcessTable, parse_cgroup, without_crowds
from why502.model.snapshot import Gap, NetworkSpace, Snapshot

SECTION = "networks"
NEEDS = ("proxies",)
LIMIT_S = 2.5
NETWORKS = 256
FILE_BYTES = 1 << 18


def collect(host: Host, known: Snapshot, ask: Ask) -> Found[tuple[NetworkSpace, ...]]:
    """Return the network namespaces of all processes except ours, those of proxies first. Raises HostError."""
    if ask.offline:
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
    paths = [f"/proc/{pid}/{name}" for pid in chosen.values() for name in ("net/fib_trie", "net/if_inet6", "cgroup")]
    contents = iter(host.read_all(paths, limit_bytes=FILE_BYTES))
    found = []
    for (inode, pid), v4, v6, cgroup in zip(chosen.items(), contents, contents, contents, strict=False):
        addresses = (*parse_fib_trie(_text(v4)), *parse_if_inet6(_text(v6)))
        path, _, container = parse_cgroup(_text(cgroup))
        name = f"{stats[pid].name} (pid {pid})" if pid in stats else f"process {pid}"
        if container:
            name = containers.container_of(host, table, pid, container, path).words
        found.append(
            NetworkSpace(
                inode=inode,
                pid=pid,
                name=name,
                container=container,
                addresses=tuple(dict.fromkeys(addresses)),
                owner_uid=_owner(table, pid, path, container),
            )
        )
    return Found(tuple(found), tuple(gaps))


def _owner(table: ProcessTable, pid: int, cgroup: str, container: str) -> int:
    """Return the user who could have made a namespace: root, if its user namespace is ours or only root can name its cgroup."""
    if table.is_of_our_users(pid):
        return 0
    uid = containers.owner(cgroup)
    return uid or (0 if container else NOBODY)


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
