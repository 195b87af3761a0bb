"""Every fault of the lab, on real servers: what `why502 diagnose` says of it."""

from __future__ import annotations

import base64
import json

import pytest
from lab.bundles import keep
from staged import REPEATED, scenes

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.lab import machine
from why502.lab.fault import Fault
from why502.lab.faults import faults
from why502.lab.record import neutral
from why502.lab.room import play
from why502.render.json import render
from why502.render.words import Terminal

pytestmark = [pytest.mark.real, REPEATED, pytest.mark.timeout(120)]


@pytest.mark.parametrize("fault", scenes(faults().values()))
def test_the_scene_is_real_and_its_diagnosis_right(fault: Fault, update: bool) -> None:
    if missing := fault.missing():
        pytest.skip(missing)
    if "machine" in fault.needs and (reason := machine.why_not()):
        pytest.skip(reason)
    report = play(fault)
    diagnosis = report["diagnosis"]
    assert diagnosis, report["stderr"]
    bundle = base64.b64decode(report["bundle"])
    there = base64.b64decode(report.get("bundle_there", ""))
    snapshots = [load(each, fault.name) for each in (bundle, there) if each]
    assert json.loads(render(diagnose(*snapshots), Terminal())) == diagnosis
    findings = [finding for finding in diagnosis["findings"] if finding["confidence"] >= 0.5]
    told = [(finding["cause"], finding["target"], finding["confidence"]) for finding in diagnosis["findings"]]
    if fault.is_healthy:
        assert (diagnosis["verdict"], diagnosis["findings"], report["status"]) == ("healthy", [], 0), told
        if update:
            keep(fault, neutral(bundle), there and neutral(there))
        return
    assert (diagnosis["verdict"], report["status"]) == (("healthy", 0) if fault.is_unnoticed else ("problem", 1)), told
    first = findings[0]
    assert (first["cause"], first["layer"], first["target"]) == (fault.cause, fault.layer, report["target"]), told
    assert fault.ongoing in (None, first["ongoing"]), (first["ongoing"], first["last_seen"])
    assert fault.gaps <= {gap["source"] for gap in diagnosis["gaps"]}
    assert fault.also <= {finding["cause"] for finding in findings}, told
    if update:
        keep(fault, neutral(bundle), there and neutral(there))
