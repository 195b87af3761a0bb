"""The recorded scenes on a machine that is busy with something else: another's load changes no verdict."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from lab.test_bundles import OWN, name
from sampled import sampled

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.model.finding import Verdict
from why502.model.snapshot import Pressure, Snapshot

ABOUT_LOAD = {"cpu-saturation", "io-saturation", "memory-pressure", "disk-full"}
BUSY = {
    "cpu_some": 0.95,
    "cpu_busy": 1.0,
    "io_some": 0.9,
    "io_now": 1.0,
    "running": 40,
    "steal": 0.3,
    "disk": "sda",
    "disk_busy": 1.0,
}


def busy(snapshot: Snapshot) -> Snapshot:
    """Return the same moment with every processor and the disk in use by processes that serve no target."""
    seen = [one for one in snapshot.pressure or () if one.scope != "machine"]
    machine = next((one for one in snapshot.pressure or () if one.scope == "machine"), Pressure())
    return msgspec.structs.replace(snapshot, pressure=(msgspec.structs.replace(machine, **BUSY), *seen))


@pytest.mark.parametrize("path", sampled([path for path in OWN if path.parent.name not in ABOUT_LOAD], 16), ids=name)
def test_the_load_of_others_is_no_cause(path: Path) -> None:
    diagnosis = diagnose(busy(load(path.read_bytes(), path.name)))
    if path.parent.name == "healthy":
        assert diagnosis.verdict is Verdict.HEALTHY
        return
    alone = diagnose(load(path.read_bytes(), path.name))
    assert [(f.cause, f.target) for f in diagnosis.findings[:1]] == [(f.cause, f.target) for f in alone.findings[:1]]
    assert not {f.cause for f in diagnosis.findings if f.confidence >= 0.5} & ABOUT_LOAD
