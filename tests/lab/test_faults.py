"""Every fault of the lab, on real servers: what `why502 diagnose` says of it."""

from __future__ import annotations

import pytest

from why502.lab.fault import Fault
from why502.lab.faults import faults
from why502.lab.room import play

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


@pytest.mark.parametrize("fault", [pytest.param(fault, id=name) for name, fault in faults().items()])
def test_the_scene_is_real_and_its_diagnosis_right(fault: Fault) -> None:
    if missing := fault.missing():
        pytest.skip(missing)
    report = play(fault)
    diagnosis = report["diagnosis"]
    assert diagnosis, report["stderr"]
    findings = [finding for finding in diagnosis["findings"] if finding["confidence"] >= 0.5]
    told = [(finding["cause"], finding["target"], finding["confidence"]) for finding in diagnosis["findings"]]
    if fault.is_healthy:
        assert (diagnosis["verdict"], diagnosis["findings"], report["status"]) == ("healthy", [], 0), told
        return
    assert diagnosis["verdict"] == "problem", told
    assert report["status"] == 1
    first = findings[0]
    assert (first["cause"], first["layer"], first["target"]) == (fault.cause, fault.layer, report["target"]), told
    assert fault.ongoing in (None, first["ongoing"]), (first["ongoing"], first["last_seen"])
    assert fault.also <= {finding["cause"] for finding in findings}, told
