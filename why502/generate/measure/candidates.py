"""The listeners of this machine that may be an application, and the one that a pid, port, unit or container means."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from why502.collectors import collect
from why502.collectors.base import Ask
from why502.generate.options import refuse
from why502.host.base import Host
from why502.model.patterns import lazy
from why502.model.snapshot import Listener, NetworkSpace, Process, Snapshot
from why502.model.target import Target

_PROXIES = frozenset({"nginx", "haproxy", "apache2", "httpd", "caddy", "traefik", "envoy", "varnishd", "hitch"})
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
    return collect(host, now, now - timedelta(minutes=15), now, Ask(probes=False))


def candidates(host: Host, now: datetime) -> list[Candidate]:
    """Return the listeners that may be an application, the likeliest first."""
    return of_snapshot(snapshot_of(host, now))


def of_snapshot(snapshot: Snapshot) -> list[Candidate]:
    """Return the listeners of a snapshot that may be an application, the likeliest first: not those of proxies and databases."""
    found = [
        candidate
        for candidate in _all(snapshot)
        if not (candidate.process and candidate.process.name in _PROXIES | _OTHERS)
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


def _apart(snapshot: Snapshot) -> list[tuple[NetworkSpace, Candidate]]:
    """Return the listeners in other network namespaces that can be reached from here, each with its namespace.

    A published port is preferred: a container gets another address when it is made anew.
    """
    processes = {process.pid: process for process in snapshot.processes or ()}
    spaces = {space.inode: space for space in snapshot.networks or ()}
    found = []
    for listener in snapshot.listeners or ():
        space = spaces.get(listener.network)
        if space is None or listener.target.is_unix or listener.target.is_loopback:
            continue
        outer = [one.outer for one in space.published if one.inner.port == listener.target.port]
        own = next((address for address in space.addresses if not Target(host=address, port=1).is_loopback), "")
        if outer:
            address = f"127.0.0.1:{outer[0].port}" if outer[0].is_wildcard else str(outer[0])
        elif own:
            address = str(Target(host=own, port=listener.target.port))
        else:
            continue
        process = next((processes[pid] for pid in listener.pids if pid in processes), None)
        reached = "at the port published for it" if outer else "at an address of another network, which changes with a container"
        words = f"{_words(process)} in {space.name}" if space.container else _words(process)
        found.append((space, Candidate(address, words, listener, process, reached)))
    return found


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
        found = [one for one in (*every, *(one for _, one in _apart(snapshot))) if family & set(one.listener.pids)]
    else:
        unit = what if "." in what else f"{what}.service"
        container = what if len(what) >= 12 else "-"
        found = [
            one
            for one in every
            if one.process
            and (one.process.unit == unit or (one.process.container and one.process.container.startswith(container)))
        ]
        found += [one for space, one in _apart(snapshot) if _is_called(space, what)]
    if not found:
        known = ", ".join(f"{one.address} {one.words}" for one in of_snapshot(snapshot)[:5]) or "none was found"
        raise refuse("--from-process", what, "listens nowhere that can be seen from here", f"Applications that listen: {known}.")
    return min(found, key=lambda one: (one.listener.target.is_unix, one.listener.target.port))


def _is_called(space: NetworkSpace, what: str) -> bool:
    """Return whether a container has this name, or an id that begins with at least twelve such digits."""
    return bool(space.container) and (
        what == space.name.partition(" (")[0] or (len(what) >= 12 and space.container.startswith(what))
    )


def _family(snapshot: Snapshot, pid: int) -> set[int]:
    """Return a process and its direct children: workers hold the socket of their master."""
    if pid == 1:  # every orphan is its child
        return {pid}
    return {pid} | {process.pid for process in snapshot.processes or () if process.ppid == pid}
