"""Missing permissions of a user who is not root are reported before anything starts."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.cli.env import Env
from why502.cli.plan_output import apply, show, work
from why502.fix.plan import Plan
from why502.host.local import LocalHost
from why502.model.errors import Why502Error
from why502.model.remedy import Run
from why502.model.snapshot import Snapshot
from why502.session.fixing import lacking

START = Run(argv=("systemctl", "start", "app.service"))


def plan(*runs: Run) -> Plan:
    """Return a plan of these commands."""
    return Plan(cause="backend-not-running", remedy="start app.service", message="it does not run", runs=runs)


@pytest.mark.parametrize(
    ("runs", "is_lacking"),
    [
        ((START,), True),
        ((Run(argv=("systemctl", "--user", "start", "app.service")),), False),
        ((Run(argv=("pm2", "restart", "app")),), False),
    ],
)
def test_a_unit_of_the_system_is_for_root(monkeypatch: pytest.MonkeyPatch, runs: tuple[Run, ...], is_lacking: bool) -> None:
    assert lacking(plan(*runs)) == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert bool(lacking(plan(*runs))) is is_lacking


def test_missing_permissions_are_reported_in_the_plan_and_before_it_is_applied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env = Env(stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    show(env, plan(START), LocalHost(), is_json=False, how="why502 fix --apply")
    assert "Apply it as root (`systemctl start app.service` needs root): sudo why502 fix --apply" in env.stdout.getvalue()
    here = Snapshot(taken_at=datetime(2026, 11, 21, tzinfo=UTC))
    with pytest.raises(Why502Error, match="permission denied"):
        apply(env, (plan(START),), here, work(env, str(tmp_path), is_json=False), is_json=False)
    assert list(tmp_path.iterdir()) == []
