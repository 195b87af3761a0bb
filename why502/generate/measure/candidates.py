"""The listeners of this machine that may be an application, and the one that a pid, port, unit or container means."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from why502.collectors import collect
from why502.collectors.base import CollectOptions
from why502.gateways.behaviour import programs
from why502.generate.options import refuse
from why502.host.base import Host
from why502.model.container import Container
from why502.model.patterns import lazy
from why502.model.process import Process
from why502.model.snapshot import Listener, NetworkSpace, Snapshot
from why502.model.target import Target

_OTHERS = frozenset(
    {
        "sshd",
        "systemd",
        "systemd-resolve",
        "cupsd",
        "master",
        "postgres",
        "mysqld",
        "mariadbd",
        "redis-server",
        "chronyd",
        "dnsmasq",
    }
)
_FILE = lazy(r"[\w./][\w./-]{0,200}", re.ASCII)
_PRIVILEGED = 1024


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listener that may be the application: its address as `--app` takes it, and what it is in words.

    `reached`: what the address is, where it is not simply that of the listener.
    """

    address: str
    words: str
    listener: Listener
    process: Process | None
    reached: str = ""


def snapshot_of(host: Host, now: datetime) -> Snapshot:
    """Return what runs on this machine; no request is sent."""
    return collect(host, now, now - timedelta(minutes=15), now, CollectOptions(probes=False))


def candidates(host: Host, now: datetime) -> list[Candidate]:
    """Return the listeners that may be an application, the likeliest first."""
    return of_snapshot(snapshot_of(host, now))


def of_snapshot(snapshot: Snapshot) -> list[Candidate]:
    """Return the listeners of a snapshot that may be an application, the likeliest first: not those of proxies and databases."""
    found = [
        candidate
        for candidate in _all(snapshot)
        if not (candidate.process and candidate.process.name in programs() | _OTHERS)
        and (candidate.listener.target.path.endswith(".sock") or candidate.listener.target.port >= _PRIVILEGED)
    ]
    return sorted(found, key=lambda one: (one.listener.target.is_unix, one.process is None, one.listener.target.port))


def _all(snapshot: Snapshot) -> list[Candidate]:
    """Return every listener of this machine's own network, each address once."""
    processes = {process.pid: process for process in snapshot.processes or ()}
    found: dict[str, Candidate] = {}
    for listener in snapshot.listeners or ():
        target = listener.target
        if listener.network or (target.is_unix and not target.path.startswith("/")):
            continue
        process = next((processes[pid] for pid in listener.pids if pid in processes), None)
        found.setdefault(address_of(listener), Candidate(address_of(listener), _words(process), listener, process))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Inside:
    """A listener in another network namespace, and the container whose network that is: "" for none."""

    candidate: Candidate
    name: str
    identity: str

    def is_called(self, what: str) -> bool:
        """Return whether the container has this name, or an id that begins with at least twelve such digits."""
        return bool(self.identity) and (what == self.name or (len(what) >= 12 and self.identity.startswith(what)))


def _apart(snapshot: Snapshot) -> list[_Inside]:
    """Return the listeners in other network namespaces that can be reached from here.

    A published port is preferred: a container gets another address when it is made anew.
    """
    processes = {process.pid: process for process in snapshot.processes or ()}
    spaces = {space.inode: space for space in snapshot.networks or ()}
    containers = {container.network: container for container in snapshot.containers or () if container.network}
    found = []
    for listener in snapshot.listeners or ():
        space, container = spaces.get(listener.network), containers.get(listener.network)
        if space is None or listener.target.is_unix or listener.target.is_loopback:
            continue
        name = container.name if container else space.name.partition(" (")[0]
        identity = container.id if container else space.container
        outer = next(_published(space, container, listener.target.port), None)
        own = _own_address(space, container)
        if outer:
            address = f"127.0.0.1:{outer.port}" if outer.is_wildcard else str(outer)
        elif own:
            address = str(Target(host=own, port=listener.target.port))
        else:
            continue
        process = next((processes[pid] for pid in listener.pids if pid in processes), None)
        reached = (
            "at the port published for it" if outer else "at an address in another network, which may change with the container"
        )
        words = f"{_words(process)} in {name} ({identity[:12]})" if identity else _words(process)
        found.append(_Inside(Candidate(address, words, listener, process, reached), name, identity))
    return found


def _published(space: NetworkSpace, container: Container | None, port: int) -> Iterator[Target]:
    """Yield the addresses of this machine that are published for a port of a network, as the engine says or its helpers show."""
    for publication in container.published if container else ():
        if publication.inner == port:
            yield Target(host=publication.host or "0.0.0.0", port=publication.outer)
    yield from (one.outer for one in space.published if one.inner.port == port)


def _own_address(space: NetworkSpace, container: Container | None) -> str:
    """Return the address that leads into a network from here; "" if there is none, as in the networks of rootless engines."""
    attached = {one.address for one in container.attachments} if container else set(space.addresses)
    reachable = (one for one in space.addresses if one in attached and not Target(host=one, port=1).is_loopback)
    return next(reachable, "")


def address_of(listener: Listener) -> str:
    """Return the address to connect to: a listener on every address is reached on the loopback one."""
    target = listener.target
    return f"127.0.0.1:{target.port}" if target.is_wildcard else str(target)


def _words(process: Process | None) -> str:
    if process is None:
        return "an unknown process"
    unit = f", {process.unit}" if process.unit else ""
    script = next((posixpath.basename(word) for word in process.argv[1:3] if _FILE.fullmatch(word)), "")
    return f"{process.name}{f' {script}' if script else ''} (pid {process.pid}{unit})"


def named(snapshot: Snapshot, what: str) -> Candidate:
    """Return the listener that a pid, `:PORT`, unit or container means. Raises Why502Error."""
    every = _all(snapshot)
    if what.startswith(":") and what[1:].isdigit():
        found = [one for one in every if one.listener.target.port == int(what[1:])]
    elif what.isdigit():
        family = _family(snapshot, int(what))
        found = [one for one in (*every, *(one.candidate for one in _apart(snapshot))) if family & set(one.listener.pids)]
    else:
        unit = what if "." in what else f"{what}.service"
        container = what if len(what) >= 12 else "-"
        found = [
            one
            for one in every
            if one.process
            and (one.process.unit == unit or (one.process.container and one.process.container.startswith(container)))
        ]
        found += [one.candidate for one in _apart(snapshot) if one.is_called(what)]
    if not found:
        known = ", ".join(f"{one.address} {one.words}" for one in of_snapshot(snapshot)[:5]) or "none was found"
        raise refuse(
            "--from-process", what, "does not listen on any address visible from here", f"Applications that listen: {known}."
        )
    return min(found, key=lambda one: (one.listener.target.is_unix, one.listener.target.port))


def _family(snapshot: Snapshot, pid: int) -> set[int]:
    """Return a process and its direct children: workers hold the socket of their master."""
    if pid == 1:  # every orphan is its child
        return {pid}
    return {pid} | {process.pid for process in snapshot.processes or () if process.ppid == pid}
