"""The logs of a proxy in a container that go to its standard output and error: its engine keeps them.

Official images link `/var/log/nginx/access.log` to `/dev/stdout`. The engine writes both streams to one file (json-file, CRI), or
to the journal. Root's engine decides where that file is, so root reads it, whoever supplies its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from why502.host.base import Host
from why502.logs.line_reader import LogInput
from why502.machine.attempt import attempt
from why502.machine.containers import Container, container_of
from why502.machine.process_table import ProcessTable, parse_cgroup
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.proxy import Proxy

_STREAMS = frozenset({"/dev/stdout", "/dev/stderr", "/proc/self/fd/1", "/proc/self/fd/2", "/dev/fd/1", "/dev/fd/2"})
_ENGINES = {"docker": "docker", "podman": "podman", "containerd": "crictl", "cri-o": "crictl"}


def resolved(host: Host, proxy: Proxy) -> tuple[LogTarget, ...]:
    """Return the logs of a proxy; one whose file is a link to a stream of the process goes to that stream."""
    if not proxy.root:
        return proxy.logs
    seen = host.acting_as(proxy.owner_uid).inside(proxy.root)

    def place(log: LogTarget) -> LogTarget:
        if log.goes_to is not LogPlace.FILE:
            return log
        is_stream = log.path in _STREAMS or attempt(partial(seen.link, log.path)) in _STREAMS
        return msgspec.structs.replace(log, goes_to=LogPlace.STDERR) if is_stream else log

    return tuple(map(place, proxy.logs))


def container(host: Host, proxy: Proxy) -> Container | None:
    """Return the container that a proxy runs in; None if it runs in none, or that is unknown."""
    if proxy.pid is None:
        return None
    text = (attempt(partial(host.read, f"/proc/{proxy.pid}/cgroup", limit_bytes=1 << 16)) or b"").decode("utf-8", "replace")
    path, _, identity = parse_cgroup(text)
    return container_of(host, ProcessTable(host), proxy.pid, identity, path) if identity else None


def inputs(proxy: Proxy, found: Container) -> Iterator[LogInput]:
    """Yield the files that hold the streams of a proxy in a container: lines of both streams, wrapped by the engine."""
    formats = tuple(dict.fromkeys((log.format, log.escape) for log in proxy.logs if log.format))
    servers = {log.server for log in proxy.logs if log.kind is LogKind.ACCESS}
    known = formats[0] if len(formats) == 1 else ("", "default")
    for path in found.logs:
        yield LogInput(
            path=path,
            kind=LogKind.ACCESS if known[0] else "",
            format=known[0],
            escape=known[1],
            candidates=formats,
            server=servers.pop() if len(servers) == 1 else "",
            proxy=proxy.kind,
            pid=proxy.pid,
            owner_uid=found.owner_uid or proxy.owner_uid,
            is_of_engine=not found.owner_uid,
            errors_of=proxy.pid,
            errors_from=LogPlace.STDERR,
        )


def hint(found: Container) -> str:
    """Return how to get at the lines that no file holds."""
    program = _ENGINES.get(found.engine, "")
    name = found.name.rpartition("/")[2] if program != "crictl" else found.id[:12]
    shown = f"{program} logs {name or found.id[:12]}" if program else "its output"
    return f"save {shown} to a file and give it with --log"
