"""A check passes only if the evidence shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from why502.diagnosis.checks import check_all
from why502.model.config import LogKind, LogTarget, Peer, Route
from why502.model.finding import Check
from why502.model.logs import LogFile, LogSummary
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Gap, Listener, Snapshot
from why502.model.target import Target

APP = Target(host="127.0.0.1", port=3001)
ROUTE = Route(peers=(Peer(name=str(APP), target=APP),))
RUNNING = Proxy(pid=7, routes=(ROUTE,))
STOPPED = Proxy(routes=(ROUTE,))
HEARD = (Listener(target=APP, pids=(9,)),)
HERE = Snapshot(taken_at=datetime(2026, 11, 21, tzinfo=UTC))


def check(id_: str, here: Snapshot) -> Check:
    (found,) = [check for check in check_all(here) if check.id == id_]
    return found


@pytest.mark.parametrize(
    ("proxies", "listeners", "status", "detail"),
    [
        ((RUNNING,), HEARD, "pass", "127.0.0.1:3001"),
        ((RUNNING,), (), "fail", "nothing listens on 127.0.0.1:3001"),
        ((RUNNING,), None, "skip", "not checked"),
        ((STOPPED,), (), "skip", "no proxy is running that would connect to one"),
        ((STOPPED,), HEARD, "pass", "127.0.0.1:3001"),
        ((Proxy(pid=7),), HEARD, "skip", "no targets known"),
    ],
)
def test_something_listens(proxies: tuple[Proxy, ...], listeners: tuple[Listener, ...] | None, status: str, detail: str) -> None:
    found = check("backend-listens", msgspec.structs.replace(HERE, proxies=proxies, listeners=listeners))
    assert (found.status, found.detail) == (status, detail)


@pytest.mark.parametrize("id_", ["logs-readable", "no-failures"])
def test_logs_that_may_not_be_read_say_why(id_: str) -> None:
    path = "/var/log/nginx/error.log"
    proxy = msgspec.structs.replace(RUNNING, logs=(LogTarget(kind=LogKind.ERROR, path=path),))
    gap = Gap(source=path, reason=f"{path}: Permission denied", hint="run as root")
    found = check(id_, msgspec.structs.replace(HERE, proxies=(proxy,), gaps=(gap,)))
    assert (found.status, found.detail) == ("skip", f"{path}: Permission denied; run as root")


@pytest.mark.parametrize(("listeners", "status"), [(HEARD, []), ((), ["warn"]), (None, ["warn"])])
def test_a_stopped_service_fails_the_check_only_if_nothing_replaces_it(
    listeners: tuple[Listener, ...] | None, status: list[str]
) -> None:
    down = Service(manager="systemd", name="blue.service", state="inactive", is_running=False, targets=(APP,))
    here = msgspec.structs.replace(HERE, proxies=(RUNNING,), listeners=listeners, services=(down,))
    assert [check.status for check in check_all(here) if check.id == "service-runs"] == status


@pytest.mark.parametrize(("unread", "status"), [(0, "pass"), (50, "pass"), (60, "warn")])
def test_words_of_an_application_in_the_error_log_are_no_warning(unread: int, status: str) -> None:
    file = LogFile(path="/var/log/nginx/error.log", lines=100, unread=unread)
    here = msgspec.structs.replace(HERE, proxies=(RUNNING,), logs=LogSummary(files=(file,)))
    assert check("logs-readable", here).status == status
