"""The limit of a worker ends before the proxy gives up, also where the proxy waits only a few seconds."""

from __future__ import annotations

import pytest
from test_verdicts import APP, REPLACE, failing, machine, route

from why502.diagnosis.case import Case
from why502.diagnosis.causes import CAUSES
from why502.diagnosis.index import Joins
from why502.model.logs import Symptom
from why502.model.remedy import Edit, Remedy
from why502.model.snapshot import Service


def remedies(wait_s: float, limit_s: int) -> list[Remedy]:
    """Return the remedies for a gunicorn with that limit, behind a proxy that waits that long."""
    way = REPLACE(route(APP, 7), read_timeout_s=wait_s)
    here = machine(failing(Symptom.CLOSED_BEFORE_HEADER, APP, ago_s=40), routes=(way,))
    service = Service(
        manager="systemd",
        name="shop.service",
        is_running=True,
        targets=(APP,),
        argv=("/usr/bin/gunicorn", "--timeout", str(limit_s), "app:app"),
        unit_file="/etc/systemd/system/shop.service",
    )
    here = REPLACE(here, services=(service,))
    case = Case(here=here, target=APP, offline=False, index=Joins(here))
    return list(CAUSES["worker-timeout"].remedies(case))


@pytest.mark.parametrize(("wait_s", "limit_s", "raised_s"), [(60, 30, 55), (40, 30, 35), (8, 4, 7), (16, 4, 14)])
def test_it_comes_just_below_what_the_proxy_waits(wait_s: float, limit_s: int, raised_s: int) -> None:
    first = remedies(wait_s, limit_s)[0]
    (drop_in,) = (step for step in first.steps if isinstance(step, Edit))
    assert f"--timeout {raised_s} app:app\n" in drop_in.after


@pytest.mark.parametrize(("wait_s", "limit_s"), [(8, 7), (60, 55), (4, 30)])
def test_a_limit_that_is_there_already_is_left(wait_s: float, limit_s: int) -> None:
    assert remedies(wait_s, limit_s) == []
