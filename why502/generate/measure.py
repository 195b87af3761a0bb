"""Measures a running application: where it listens, what it speaks, when it closes idle connections, how large its headers are.

Every value that is derived names its source. Only harmless requests are sent: one GET of `/`, as any client may send it.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from datetime import datetime, timedelta

from why502.collectors import collect
from why502.collectors.base import Ask
from why502.host.base import Host
from why502.model.snapshot import Listener, Process, Snapshot

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
_PRIVILEGED = 1024


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listener that may be the application: its address as `--app` takes it, and what it is in words."""

    address: str
    words: str
    listener: Listener
    process: Process | None


def snapshot_of(host: Host, now: datetime) -> Snapshot:
    """Return what runs on this machine; no request is sent."""
    return collect(host, now, now - timedelta(minutes=15), now, Ask(probes=False))


def candidates(host: Host, now: datetime) -> list[Candidate]:
    """Return the listeners that may be an application, the likeliest first."""
    return of_snapshot(snapshot_of(host, now))


def of_snapshot(snapshot: Snapshot) -> list[Candidate]:
    """Return the listeners of a snapshot that may be an application, the likeliest first: not those of proxies and databases."""
    processes = {process.pid: process for process in snapshot.processes or ()}
    found = []
    for listener in snapshot.listeners or ():
        process = next((processes[pid] for pid in listener.pids if pid in processes), None)
        name = process.name if process else ""
        target = listener.target
        if listener.network or name in _PROXIES | _OTHERS or (target.is_unix and target.path.startswith("@")):
            continue
        if not target.is_unix and target.port < _PRIVILEGED:
            continue
        if target.is_unix and not target.path.endswith(".sock"):
            continue
        found.append(Candidate(address_of(listener), _words(process), listener, process))
    unique = {candidate.address: candidate for candidate in reversed(found)}
    return sorted(unique.values(), key=lambda one: (one.listener.target.is_unix, one.process is None, one.listener.target.port))


def address_of(listener: Listener) -> str:
    """Return the address to connect to: a listener on every address is reached on the loopback one."""
    target = listener.target
    if target.is_wildcard:
        return f"127.0.0.1:{target.port}"
    return str(target)


def _words(process: Process | None) -> str:
    if process is None:
        return "an unknown process"
    unit = f", {process.unit}" if process.unit else ""
    script = next((posixpath.basename(word) for word in process.argv[1:3] if not word.startswith("-")), "")
    return f"{process.name}{f' {script}' if script else ''} (pid {process.pid}{unit})"
