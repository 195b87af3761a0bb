"""Missing permissions of a user who is not root are reported before anything starts."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from why502.cli.env import Env
from why502.cli.plan_output import apply, show, work
from why502.fix.guard import is_group_of
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


@pytest.mark.parametrize(
    ("path", "is_of_system"),
    [
        ("0::/system.slice/caddy.service", True),
        ("1:name=systemd:/machine/payload/system.slice/caddy.service", True),
        ("0::/user.slice/user-1000.slice/user@1000.service/system.slice/caddy.service", False),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/caddy.service", False),
        ("0::/system.slice/other.service", False),
        ("0::/system.slice/system-caddy.slice/caddy.service", True),
        ("0::/system.slice/delegated.service/system.slice/caddy.service", False),
        ("0::/delegated.service/system.slice/caddy.service", False),
        ("0::/system.slice/docker-0a1b.scope/system.slice/caddy.service", False),
        ("", False),
    ],
)
def test_a_gateway_of_a_system_unit_is_roots_whatever_its_user(path: str, *, is_of_system: bool) -> None:
    assert is_group_of([path], "caddy.service") is is_of_system
