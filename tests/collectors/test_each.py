"""A bad item costs only that item."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from why502.collectors import processes, proxies
from why502.collectors.base import CollectOptions
from why502.host.local import LocalHost
from why502.machine.attempt import each
from why502.machine.process_table import ProcessTable
from why502.model.errors import HostError
from why502.model.process import Process
from why502.model.snapshot import Snapshot

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def test_a_failing_item_is_reported_and_the_others_are_found() -> None:
    missed: list[tuple[int, str, str]] = []

    def look(item: int) -> tuple[int, ...]:
        if item == 2:
            raise HostError("closed", "run as root")
        if item == 3:
            raise ValueError("odd")
        return (item, 10 * item)

    assert list(each(range(1, 5), look, lambda *told: missed.append(told))) == [1, 10, 4, 40]
    assert missed == [(2, "closed", "run as root"), (3, "internal error: ValueError: odd", "report it: this is a bug in why502")]


def test_a_bug_in_one_process_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    me, above = os.getpid(), os.getppid()
    whole = ProcessTable.process

    def process(self: ProcessTable, pid: int, **options: Any) -> Process:
        if pid == above:
            raise ValueError("odd")
        return whole(self, pid, **options)

    monkeypatch.setattr(ProcessTable, "process", process)
    monkeypatch.setattr(processes, "_around", lambda known, stats: [me, above])
    found = processes.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions())
    assert [one.pid for one in found.value or ()] == [me]
    assert f"process {above}" in [gap.source for gap in found.gaps]


def test_a_bug_in_one_gateway_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from why502.gateways.nginx.command_line import Options
    from why502.machine.process_table import Stat
    from why502.model.proxy import Proxy

    masters = [proxies.Master(pid, Stat("nginx", "S", 1, 0.0), Options()) for pid in (1, 2)]
    monkeypatch.setattr(proxies, "find_masters", lambda table: masters)
    monkeypatch.setattr(proxies, "_roots_first", lambda host, found, gaps: found)
    monkeypatch.setattr(proxies.other_running, "masters", lambda host, table: [])
    monkeypatch.setattr(proxies.other_installed, "all_stopped", lambda *_: ())

    def running(host: object, table: object, master: proxies.Master, *_: object) -> Proxy:
        if master.pid == 1:
            raise ValueError("odd")
        return msgspec.structs.replace(Proxy(), pid=master.pid)

    monkeypatch.setattr(proxies, "_running", running)
    found = proxies.collect(LocalHost(), Snapshot(taken_at=NOW), CollectOptions())
    assert [proxy.pid for proxy in found.value or ()] == [2]
    assert any("ValueError: odd" in gap.reason for gap in found.gaps)
