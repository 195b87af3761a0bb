"""The time limit of a request that an application server's own configuration file sets: uWSGI's `harakiri`, gunicorn's `timeout`.

Only the line of that one setting is kept. The file is found by the command of the service, or of the process that listens.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import ModuleType

import msgspec

from why502 import registry
from why502.deployment.applications import server_of
from why502.host.base import Host
from why502.machine.attempt import attempt
from why502.model.config import Position, Setting
from why502.model.process import Process
from why502.model.service import Service

CONFIG_BYTES = 256 << 10
SERVERS = {module.PROGRAM: module for module in registry.parts("why502.backends", "limits")}


def with_limit(host: Host, service: Service, processes: Iterable[Process]) -> Service:
    """Return a service with the limit that its configuration file sets, if it has one. `processes`: those that listen for it."""
    if service.manager != "systemd":
        return service
    own = [process for process in processes if not process.root]
    directory = service.settings.get("WorkingDirectory", "") or next((process.cwd for process in own), "")
    commands = [service.argv, *(process.argv for process in own)]
    found = [setting for argv in dict.fromkeys(commands) for setting in _settings(host, argv, directory)]
    return msgspec.structs.replace(service, worker_limit=found[-1]) if found else service


def _settings(host: Host, argv: Sequence[str], directory: str) -> Iterator[Setting]:
    """Yield the limit in each configuration file of a command, in the order in which the server reads them."""
    server = SERVERS.get(server_of(argv))
    for name in server.files(argv) if server else ():
        path = posixpath.normpath(posixpath.join(directory, name))
        content = attempt(partial(host.read, path, limit_bytes=CONFIG_BYTES)) if path.startswith("/") else None
        if server and content and (setting := _setting(server, content, path)):
            yield setting


def _setting(server: ModuleType, content: bytes, path: str) -> Setting | None:
    """Return the limit that a file sets; None if it sets none. It has no argument if it is no plain number, or set twice."""
    found: list[re.Match[bytes]] = list(server.LIMIT.finditer(content))
    if not found:
        return None
    line = content.count(b"\n", 0, found[0].start()) + 1
    value = found[0]["value"] if len(found) == 1 else None
    if value is None:
        return Setting(args=(), at=Position(file=path, line=line))
    start, end = found[0].span("value")
    return Setting(args=(value.decode(),), at=Position(file=path, line=line, start=start, end=end))
