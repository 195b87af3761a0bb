"""What nginx's configuration on this machine tells of its logs: their formats, and the groups and timeouts of their targets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Set
from functools import partial
from pathlib import Path

from why502.gateways.nginx.logs.log_format import COMBINED, MAIN
from why502.host.base import Host
from why502.logs.scan.job import LogSettings
from why502.logs.scan.line_format import of_targets
from why502.logs.scan.targets import Known
from why502.model.config import Route
from why502.model.errors import HostError
from why502.model.target import Target

NAMED = {"combined": COMBINED, "main": MAIN}
EXAMPLE = "of a log_format of nginx, '$remote_addr [$time_local] …'"
READS_UNRECOGNISED = True  # a file that no gateway recognises may be a part of its configuration
_PLACES = ("/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf")
_MOST_BYTES = 16 << 20
_MOST_FILES = 200


def is_format(text: str) -> bool:
    """Return whether a text may be a `log_format`: it names variables."""
    return "$" in text


def near(host: Host, directories: Set[str]) -> LogSettings | None:
    """Return the settings of a configuration in a usual place whose text names one of the directories; None if there is none."""
    for main in _PLACES:
        with contextlib.suppress(OSError, HostError):
            text = host.read(main, limit_bytes=_MOST_BYTES)
            included = [*Path(main).parent.glob("*.d/*"), *Path(main).parent.glob("sites-enabled/*")]
            text += b"".join(host.read(str(path), limit_bytes=_MOST_BYTES) for path in included[:_MOST_FILES] if path.is_file())
            if any(os.fsencode(directory) in text for directory in directories):
                return read(host, main)
    return None


def read(host: Host, main: str) -> LogSettings:
    """Return the log settings of a main configuration file. Raises HostError if it cannot be read."""
    from why502.gateways.nginx.config.load import load  # most logs are of no configuration here
    from why502.machine.suppliers import Rights

    rights = Rights(host, 0)  # the user named the file, or it is in root's place; its writer controls its includes
    found = load(partial(host.read, limit_bytes=_MOST_BYTES), host.list, main, version="", rights=rights.reading)
    known: dict[str, Known] = {}
    for route in found.routes:
        for target in (name for peer in route.peers for name in _as_logged(peer.target)):
            known[target] = _joined(known.get(target, Known()), route)
    return LogSettings(forms=of_targets(found.logs, main), known=known)


def _joined(before: Known, route: Route) -> Known:
    """Return what is known of a target after one more route to it: its group, and the range of its timeouts."""
    reads = [route.read_timeout_s, *(one for one in before[2:] if one is not None)]
    return Known(
        route.upstream or before.group,
        min(route.connect_timeout_s, before.connect_timeout_s or route.connect_timeout_s),
        min(reads),
        max(reads),
    )


def _as_logged(target: Target | None) -> list[str]:
    """Return a target as $upstream_addr shows it: addresses. Of names only `localhost` is known without a query (RFC 6761,
    6.3).
    """
    if target is None:
        return []
    if target.host == "localhost":
        return [f"127.0.0.1:{target.port}", f"[::1]:{target.port}"]
    return [str(target)]
