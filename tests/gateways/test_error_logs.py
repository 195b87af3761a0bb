"""Whether a failure without a reason in a gateway's error log has none there."""

from __future__ import annotations

import pytest

from why502.gateways.error_logs import read_error_log
from why502.model.config import LogKind, LogPlace, LogTarget
from why502.model.logs import LogFile, LogSummary
from why502.model.proxy import Proxy

MAIN = "/var/log/error.log"


def error_log(path: str = MAIN, *, server: str = "", place: LogPlace = LogPlace.FILE, level: str = "error") -> LogTarget:
    return LogTarget(kind=LogKind.ERROR, path=path, server=server, goes_to=place, level=level)


@pytest.mark.parametrize(
    ("logs", "read", "found"),
    [
        ((error_log(),), (MAIN,), MAIN),
        ((error_log(),), (f"/proc/7/root{MAIN}",), MAIN),
        ((error_log(),), ("/other" + MAIN,), ""),
        ((error_log(),), (), ""),
        ((), (MAIN,), ""),
        ((error_log(level="crit"),), (MAIN,), ""),
        ((error_log("", place=LogPlace.SYSLOG),), (MAIN,), ""),  # an empty path is the end of every path
        ((error_log(), error_log("/b.log", server="b")), (MAIN,), ""),
        ((error_log(), error_log("/b.log", server="b")), (MAIN, "/b.log"), MAIN),
        ((error_log(), error_log("/b.log")), (MAIN,), MAIN),  # one server writes the same lines to both
    ],
)
def test_one_log_of_each_server_was_read(logs: tuple[LogTarget, ...], read: tuple[str, ...], found: str) -> None:
    proxy = Proxy(kind="apache", root="/proc/7/root", logs=logs)
    summary = LogSummary(files=(*(LogFile(path=path) for path in read), LogFile(path="/b.log", reason="permission denied")))
    assert read_error_log(proxy, summary) == found


@pytest.mark.parametrize(
    ("pid", "errors_of", "reason", "found"),
    [(7, 7, "", "/out.log"), (7, 8, "", ""), (7, None, "", ""), (None, None, "", ""), (7, 7, "permission denied", "")],
)
def test_standard_error_was_read(pid: int | None, errors_of: int | None, reason: str, found: str) -> None:
    proxy = Proxy(kind="apache", pid=pid, logs=(error_log("", place=LogPlace.STDERR),))
    summary = LogSummary(files=(LogFile(path="/out.log", errors_of=errors_of, reason=reason),))
    assert read_error_log(proxy, summary) == found


def test_nothing_was_read() -> None:
    assert read_error_log(Proxy(logs=(error_log(),)), None) == ""
