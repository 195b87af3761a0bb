"""If only a child of a service died, no restart policy is proposed: its manager has nothing to restart."""

from __future__ import annotations

from datetime import timedelta

import pytest
from test_verdicts import APP, NOW, REPLACE, failing, machine, route

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.index import Joins
from why502.model.logs import Symptom
from why502.model.process import Process
from why502.model.remedy import Remedy
from why502.model.service import Service
from why502.model.snapshot import Listener


def remedies(*, main_began_s: float) -> list[Remedy]:
    """Return the remedies for a service whose main process began that long ago; requests have failed for 60 s."""
    began = NOW - timedelta(seconds=main_began_s)
    here = machine(failing(Symptom.CLOSED_BEFORE_HEADER, APP, ago_s=40), routes=(route(APP, 7),))
    here = REPLACE(
        here,
        processes=(*(here.processes or ()), Process(pid=40, name="gunicorn", unit="shop.service", started_at=began)),
        listeners=(*(here.listeners or ()), Listener(target=APP, pids=(40,))),
        services=(
            Service(
                manager="systemd",
                name="shop.service",
                is_running=True,
                main_pid=40,
                targets=(APP,),
                settings={"Restart": "no"},
                unit_file="/etc/systemd/system/shop.service",
            ),
        ),
    )
    case = Case(here=here, target=APP, offline=False, index=Joins(here))
    return list(CAUSES["backend-crashed"].remedies(case))


@pytest.mark.parametrize(("main_began_s", "is_policy"), [(3600, False), (30, True)])
def test_a_restart_policy_is_for_a_main_process_that_died(main_began_s: float, is_policy: bool) -> None:
    found = remedies(main_began_s=main_began_s)
    assert found
    assert any("Restart=on-failure" in remedy.message for remedy in found) == is_policy
