"""An error log that a gateway sends to syslog: whether the journal has its lines, and the file of the syslog daemon if not.

A gateway that logs errors to syslog may be heard by nobody: in a container without /dev/log, or where the daemon drops the
facility. Then the log has no errors, and that says nothing about the requests.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from why502.collectors import container_logs
from why502.gateways.behaviour import behaviour
from why502.host.base import Host
from why502.logs.line_reader import LogInput
from why502.machine import syslog_rules
from why502.machine.attempt import attempt
from why502.machine.tail import tail
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.proxy import Proxy
from why502.model.snapshot import Gap

MOST_BYTES = 16 << 20
_COMM = 15  # bytes of a process's name that the kernel keeps (proc_pid_comm(5))
_ASK_S = 3.0
_HEAD = 160  # bytes of a line in which the time, the host and the tag are


def unheard(host: Host, proxy: Proxy, match: str, streams: list[tuple[str, str]]) -> LogTarget | None:
    """Return the error log that goes to syslog if the journal, asked with `match`, never had a line of the gateway's from there;
    None if there is no such log, or if it is heard.

    Only for gateways whose lines in the journal are otherwise taken for their error log.
    """
    if ("error", "syslog") not in streams or behaviour(proxy.kind).error_format:
        return None
    logs = container_logs.resolved(host, proxy)
    target = next((log for log in logs if log.kind is LogKind.ERROR and log.goes_to is LogPlace.SYSLOG and log.facility), None)
    if target is None:
        return None
    argv = ("journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=1", match, "_TRANSPORT=syslog")
    answer = attempt(partial(host.run, *argv, f"_COMM={_program(proxy)[:_COMM]}", timeout_s=_ASK_S)) if match else None
    return None if answer is not None and not answer.status and answer.stdout else target


def inputs(
    host: Host, proxy: Proxy, target: LogTarget, since: datetime, gaps: list[Gap], *, journal_of: str
) -> Iterator[LogInput]:
    """Yield the gateway's lines in the files that the syslog daemon's rules name, or add the gap that says where they are not."""
    tag = target.tag or _program(proxy)
    marks = (f" {tag}[".encode(), f" {tag}: ".encode())
    places = syslog_rules.files(host, target.facility, tag)
    for path in places:
        content = attempt(partial(tail, host, path, MOST_BYTES))
        every = content.data.splitlines(keepends=True) if content is not None else []
        lines = b"".join(line for line in every if any(mark in line[:_HEAD] for mark in marks))
        if lines and content is not None and content.written_at is not None and content.written_at >= since:
            yield LogInput(
                path=path,
                content=lines,
                kind=LogKind.ERROR,
                is_wrapped=True,
                proxy=proxy.kind,
                pid=proxy.pid,
                owner_uid=proxy.owner_uid,
                errors_of=proxy.pid,
                errors_from=LogPlace.SYSLOG,
            )
            return
    where = [f"the journal of {journal_of}"] if journal_of else []
    where += [f"{path}, where the syslog daemon writes such messages" for path in places]
    reason = f"it goes to syslog ({target.at})" + (f", and no line of {tag} is in {' or in '.join(where)}" if where else "")
    hint = "find out where syslog writes them, and give that file with --log; without it, the proxy's own errors are unknown"
    gaps.append(Gap(source="error log", reason=reason, hint=hint))


def _program(proxy: Proxy) -> str:
    return posixpath.basename(proxy.exe or "") or min(behaviour(proxy.kind).programs, default=proxy.kind)
