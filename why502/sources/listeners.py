"""Listening sockets: TCP of both families and unix, with their accept queues and owners.

`ss` asks the kernel by netlink (sock_diag(7)), which alone knows the accept queue's limit, and unix sockets' queues. Without
it /proc/net/tcp, tcp6 and unix (proc_pid_net(5)) tell the rest. Other network namespaces are looked at through a process in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Listener, Snapshot
from why502.model.target import Target
from why502.sources.attempt import attempt
from why502.sources.base import Ask, Found
from why502.sources.inodes import socket_owners
from why502.sources.proc_net import parse_tcp, parse_unix
from why502.sources.process_table import ProcessTable

SECTION = "listeners"
NETWORKS = 32  # other network namespaces looked at

_SS = ("ss", "-Hlntxpe")
_LINE = re.compile(r"(?P<kind>tcp|u_str)\s+LISTEN\s+(?P<queued>\d{1,10})\s+(?P<backlog>\d{1,10})\s+(?P<rest>\S.*)")
_UNIX = re.compile(r"(?P<path>.*?)\s+(?P<inode>\d{1,20})\s+\*\s+0(?:\s|$)")
_OWNER = re.compile(r'\("(.{0,15})",pid=(\d{1,10}),fd=\d+\)')  # the name is free text of at most 15 bytes
_ZONE = re.compile(r"%[^\]:]+")


def collect(host: Host, known: Snapshot, ask: Ask) -> Found[tuple[Listener, ...]]:  # noqa: ARG001
    """Return every listening socket of our network namespace and of those of other processes. Raises HostError."""
    table = ProcessTable(host)
    gaps: list[Gap] = []
    found = list(_listeners(host, "", "self", gaps))
    networks: dict[str, int] = {}
    for pid in table.pids():
        if network := table.network(pid):
            networks.setdefault(network, pid)
    for network, pid in list(networks.items())[:NETWORKS]:
        try:
            found += _listeners(host, network, str(pid), gaps)
        except HostError as error:
            gaps.append(Gap(source="listeners", why=f"network namespace of process {pid}: {error.why}", allow=error.allow))
    if len(networks) > NETWORKS:
        gaps.append(Gap(source="listeners", why=f"only {NETWORKS} of {len(networks)} network namespaces were looked at"))
    hidden = sum(1 for listener in found if not listener.pids)
    if (
        hidden and attempt(partial(host.list, "/proc/1/fd")) is None
    ):  # else they are the kernel's own, or of another PID namespace
        gaps.append(Gap(source="listeners", why=f"the owners of {hidden} listening sockets are not visible", allow="run as root"))
    return Found(tuple(_whole(host, listener) for listener in found), tuple(gaps))


def _listeners(host: Host, network: str, pid: str, gaps: list[Gap]) -> tuple[Listener, ...]:
    """Return the listeners of one network namespace, "" for ours, with the process `pid` in it."""
    try:
        done = host.run(*(("nsenter", f"--net=/proc/{pid}/ns/net") if network else ()), *_SS, timeout_s=2.0)
        if done.status == 0:
            return parse_ss(done.stdout, network)
        why = done.stderr.strip().splitlines()[:1] or [f"exit status {done.status}"]
    except HostError as error:
        why = [error.why]
    read = partial(host.read, limit_bytes=64 << 20)
    tables = {name: attempt(partial(read, f"/proc/{pid}/net/{name}")) for name in ("tcp", "tcp6", "unix")}
    if tables["tcp"] is None:
        read(f"/proc/{pid}/net/tcp")  # for its reason
    found = (
        *parse_tcp(tables["tcp"] or b""),
        *parse_tcp(tables["tcp6"] or b""),
        *parse_unix(tables["unix"] or b""),
    )
    gaps.append(Gap(source="listeners", why=f"accept queue limits: {why[0]}", allow="install ss (iproute2)"))
    return tuple(_owned(found, socket_owners(host, {listener.inode for listener in found}), network))


def parse_ss(output: str, network: str = "") -> tuple[Listener, ...]:
    """Return the listeners in the output of `ss -Hlntxpe`.

    For a listening socket Recv-Q is the accept queue and Send-Q its limit. Where `ss` itself had to read /proc/net it prints
    0 for every limit: unknown then.
    """
    found = tuple(listener for line in output.splitlines() if (listener := _parse_line(line, network)))
    if any(listener.backlog for listener in found):
        return found
    return tuple(msgspec.structs.replace(listener, backlog=None) for listener in found)


def _parse_line(line: str, network: str) -> Listener | None:
    match = _LINE.match(line)
    if match is None:
        return None
    rest = match["rest"]
    pids = tuple(dict.fromkeys(int(pid) for _, pid in _OWNER.findall(rest.partition("users:(")[2])))
    queued, backlog = int(match["queued"]), int(match["backlog"])
    if match["kind"] == "u_str":
        unix = _UNIX.match(rest)
        if unix is None or unix["path"].startswith(("@", "*")):
            return None
        return Listener(
            target=Target(path=unix["path"]), pids=pids, inode=int(unix["inode"]), queued=queued, backlog=backlog, network=network
        )
    address = rest.split(maxsplit=1)[0]
    target = Target.parse(_address(address))
    if target is None or not target.port:
        return None
    inode = re.search(r"\bino:(\d{1,20})", rest)
    only_v6 = re.search(r"\bv6only:(\d)", rest)
    return Listener(
        target=target,
        pids=pids,
        inode=int(inode[1]) if inode else 0,
        queued=queued,
        backlog=backlog,
        network=network,
        only_v6=only_v6[1] == "1" if only_v6 else False if address.startswith("*:") else None,
    )


def _address(text: str) -> str:
    """Return an address of ss in the usual form: `*:80` is the wildcard of both families, `%lo` an interface."""
    if text.startswith("*:"):
        return "[::]" + text[1:]
    return text if text.startswith("[fe80") else _ZONE.sub("", text)


def _owned(found: tuple[Listener, ...], owners: Mapping[int, tuple[int, ...]], network: str) -> Iterator[Listener]:
    for listener in found:
        yield msgspec.structs.replace(listener, pids=owners.get(listener.inode, ()), network=network)


def _whole(host: Host, listener: Listener) -> Listener:
    """Return the listener with an absolute path: a socket that was bound by a relative one counts from its owner's folder."""
    path = listener.target.path
    if not path or path.startswith("/") or not listener.pids:
        return listener
    folder = attempt(partial(host.link, f"/proc/{listener.pids[0]}/cwd"))
    if folder is None:
        return listener
    return msgspec.structs.replace(listener, target=Target(path=f"{folder.rstrip('/')}/{path}"))
