"""A directory above a socket, on a machine without setfacl(1): its mode is changed instead of its access list."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.fix import commands, journal, reversal, transaction
from why502.fix.plan import Plan
from why502.fix.reversal import Progress
from why502.fix.verify import Verdict
from why502.model.errors import Why502Error
from why502.model.file_kind import FileKind
from why502.model.remedy import Remedy, Run
from why502.model.snapshot import PathStep, Snapshot, SocketPath
from why502.model.target import Target

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def remedies(directory: Path) -> tuple[Remedy, ...]:
    socket = directory / "app.sock"
    step = PathStep(path=str(directory), kind=FileKind.DIRECTORY, mode="0700", owner="root", group="root", passes=False)
    path = SocketPath(path=str(socket), user="www-data", steps=(step,), blocked_at=str(directory), is_reachable=False)
    case = Case(here=Snapshot(taken_at=NOW, socket_paths=(path,)), target=Target(path=str(socket)))
    return tuple(CAUSES["unix-socket-permission"].remedies(case))


def apply(where: Path, remedy: Remedy) -> journal.Entry:
    runs = tuple(step for step in remedy.steps if isinstance(step, Run))
    plan = Plan(cause="unix-socket-permission", message="", remedy=remedy.message, runs=runs)
    return transaction.apply(plan, where, NOW, (), lambda _: Verdict(helps=True, message=""), Progress())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_its_mode_is_changed_and_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, state = tmp_path / "run", tmp_path / "state"
    directory.mkdir(mode=0o700)
    state.mkdir(mode=0o700)
    with_list, with_mode = remedies(directory)
    which = commands.shutil.which
    monkeypatch.setattr(commands.shutil, "which", lambda name, **options: None if name == "setfacl" else which(name, **options))
    with pytest.raises(Why502Error, match="setfacl: no such program"):
        apply(state, with_list)
    entry = apply(state, with_mode)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o701
    assert reversal.revert(state, entry, Progress()).left == ()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
