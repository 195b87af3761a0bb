"""Whether the error log in which a gateway would have given its own reason for a status was read."""

from __future__ import annotations

from why502.gateways.behaviour import behaviour
from why502.model.config import LogKind, LogPlace
from why502.model.logs import LogSummary
from why502.model.proxy import Proxy

HIDING = ("crit", "alert", "emerg")  # levels at which failed connections (level error) are not logged


def read_error_log(proxy: Proxy, logs: LogSummary | None) -> str:
    """Return an error log of a gateway if one of each of its servers was read, so that a failure without a reason in it has none
    there; else "".

    A server may have several: its lines are then the same in each.
    """
    files = [file for file in (logs.files if logs else ()) if not file.reason]
    read = {file.path for file in files}
    streams = {
        place: next((file.path for file in files if file.errors_of == proxy.pid and file.errors_from in ("", place)), "")
        for place in (LogPlace.STDERR, LogPlace.SYSLOG)
        if proxy.pid is not None
    }
    # Messages of nginx to syslog go to the server that it names; what others send there is in the journal of their unit.
    of_stream = {LogPlace.STDERR} if behaviour(proxy.kind).error_format else {LogPlace.STDERR, LogPlace.SYSLOG}
    by_server: dict[str, list[str]] = {}
    for log in proxy.logs:
        if log.kind is LogKind.ERROR:
            found_at = (
                log.path if log.goes_to is LogPlace.FILE else streams.get(log.goes_to, "") if log.goes_to in of_stream else ""
            )
            is_read = bool(found_at) and bool({found_at, proxy.root + found_at} & read) and log.level not in HIDING
            by_server.setdefault(log.server, []).extend([found_at] if is_read else [])
    found = list(by_server.values())
    return found[0][0] if found and all(found) else ""
