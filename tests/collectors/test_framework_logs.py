"""Logs that web frameworks write by convention are found from the web root or the process, and read with their owner's rights."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.collectors import events
from why502.collectors.framework_logs import framework_logs
from why502.host.local import LocalHost
from why502.model.config import Peer, Position, Route, Setting
from why502.model.logs import Symptom
from why502.model.proxy import Proxy
from why502.model.snapshot import Snapshot
from why502.model.target import Target

POOL = Target.unix("/run/php/php8.2-fpm.sock")
AT = Position(file="/etc/nginx/nginx.conf", line=3)


def serving(root: Path, *, target: Target = POOL) -> Snapshot:
    """Return a machine whose nginx serves that web root with one backend."""
    settings = {"root": (Setting(args=(str(root),), at=AT),)}
    route = Route(server="shop.example", location="/", at=AT, peers=(Peer(name=str(target), target=target),), settings=settings)
    return Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(pid=1, routes=(route,)),), services=(), processes=(), listeners=())


@pytest.mark.parametrize(
    ("root", "log"),
    [
        ("public", "storage/logs/laravel.log"),
        ("public", "storage/logs/laravel-2026-11-22.log"),
        ("web", "var/log/prod.log"),
        ("public", "log/production.log"),
        (".", "wp-content/debug.log"),
    ],
)
def test_the_log_of_a_framework_is_found_from_its_web_root(tmp_path: Path, root: str, log: str) -> None:
    path = tmp_path / log
    path.parent.mkdir(parents=True)
    path.write_text("x\n")
    found = list(framework_logs(LocalHost(), serving(tmp_path / root), {}))
    assert [(name, target) for name, target, _ in found] == [(str(path), POOL)]


def test_the_log_of_a_framework_is_found_from_the_directory_of_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log/production.log").write_text("x\n")
    monkeypatch.chdir(tmp_path)
    found = list(framework_logs(LocalHost(), Snapshot(taken_at=datetime.now(UTC)), {POOL: (os.getpid(),)}))
    assert [name for name, _, _ in found] == [str(tmp_path / "log/production.log")]


def test_other_logs_of_an_application_are_left_alone(tmp_path: Path) -> None:
    for name in ("storage/logs/notes.txt", "log/development.log", "debug.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    assert not list(framework_logs(LocalHost(), serving(tmp_path / "public"), {}))


def test_of_many_days_the_last_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "storage/logs").mkdir(parents=True)
    for day in range(10, 30):
        (tmp_path / f"storage/logs/laravel-2026-11-{day}.log").write_text("x\n")
    found = list(framework_logs(LocalHost(), serving(tmp_path / "public"), {}))
    assert [name.rpartition("/")[2] for name, _, _ in found] == ["laravel-2026-11-29.log"]


def test_what_it_says_is_an_event_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "storage/logs").mkdir(parents=True)
    now = datetime.now(UTC)
    line = f"[{now:%Y-%m-%d %H:%M:%S}] production.ERROR: OOM command not allowed when used memory > 'maxmemory'. {{}}\n"
    (tmp_path / "storage/logs/laravel.log").write_text(line)
    known = serving(tmp_path / "public")
    found = events.Window(LocalHost(), known, now.replace(microsecond=0) - events.BEFORE, now).files()
    assert [(one.symptom, one.target) for one in found] == [(Symptom.APPLICATION_ERROR, POOL)]
