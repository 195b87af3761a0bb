"""The recorded scenes: what a diagnosis says of each, on any machine and without a server."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from lab.bundles import DIRECTORY, LOOK_ALIKE, THERE
from lab.look_alikes import LOOK_ALIKES

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.lab.containers.scene import scene_list
from why502.lab.faults import faults
from why502.lab.stacks.registry import stacks
from why502.model.finding import ASSERTED, Diagnosis, Layer, Verdict

BUNDLES = sorted(path for path in DIRECTORY.rglob("*.why502") if not path.name.endswith(THERE))
OWN = [path for path in BUNDLES if not path.name.startswith(LOOK_ALIKE)]
OTHERS = [path for path in BUNDLES if path.name.startswith(LOOK_ALIKE)]
CONTAINED = {  # `python -m why502.lab.containers.run --bundles`
    f"{scene.id}-{engine}-{way}" for scene in scene_list().values() for engine in scene.engines for way in ("fault", "healthy")
}
SCENES = {scene.id for stack in stacks().values() for scene in stack.scenes}
STACKED = (
    "backend-dependency-down",
    "backend-dependency-slow",
)  # which need a machine of several services: `why502 lab stacks --bundles`
# Causes that lie in the proxy itself, in its rules or on its machine: no backend is concerned.
OF_THE_PROXY = frozenset(
    {
        "disk-full",
        "maintenance-response",
        "proxy-config-invalid",
        "proxy-listen-failed",
        "proxy-not-running",
        "proxy-temp-unwritable",
        "rate-limited",
        "resolver-missing",  # the target is a variable
        "route-not-attached",
        "worker-connections-exhausted",
    }
)
CAUSES = sorted({fault.cause for fault in faults().values() if not fault.is_healthy})


@cache
def diagnosed(path: Path) -> Diagnosis:
    """Return the diagnosis of a recorded scene, which several tests look at."""
    files = [path, path.with_name(path.stem + THERE)]
    return diagnose(*(load(file.read_bytes(), file.name) for file in files if file.exists()))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", OWN, ids=name)
def test_its_cause_comes_first(path: Path) -> None:
    diagnosis = diagnosed(path)
    if path.parent.name == "healthy":
        assert diagnosis.verdict is Verdict.HEALTHY
        return
    assert diagnosis.verdict is Verdict.PROBLEM
    first = diagnosis.findings[0]
    assert (first.cause, first.confidence >= ASSERTED) == (path.parent.name, True), [f.cause for f in diagnosis.findings]
    if fault := faults().get(path.stem):
        assert first.layer == fault.layer


@pytest.mark.parametrize("path", BUNDLES, ids=name)
def test_every_finding_names_what_it_is_about(path: Path) -> None:
    """An address, name:port or group; nothing only where it is about the proxy itself, its rules or its machine."""
    for finding in diagnosed(path).findings:
        if finding.confidence >= ASSERTED and finding.target is None and not finding.group:
            assert finding.layer in (Layer.PROXY, Layer.PLATFORM, Layer.CLIENT), finding
            assert finding.cause in OF_THE_PROXY, finding


@pytest.mark.parametrize("path", OTHERS, ids=name)
def test_a_look_alike_is_not_taken_for_it(path: Path) -> None:
    asserted = [finding.cause for finding in diagnosed(path).findings if finding.confidence >= ASSERTED]
    assert path.parent.name not in asserted


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_both(cause: str) -> None:
    assert [path for path in OWN if path.parent.name == cause], "record it: pytest tests/lab/test_faults.py --update"
    assert [path for path in OTHERS if path.parent.name == cause], "name one in tests/lab/look_alikes.py, and record it"
    assert LOOK_ALIKES[cause] in faults()
    assert faults()[LOOK_ALIKES[cause]].cause != cause


@pytest.mark.parametrize("cause", STACKED)
def test_what_only_a_stack_shows_has_both(cause: str) -> None:
    own = [path.stem for path in OWN if path.parent.name == cause]
    others = [path.stem.removeprefix(LOOK_ALIKE) for path in OTHERS if path.parent.name == cause]
    assert own and others and {*own, *others} <= SCENES
    assert not set(own) & set(others)


def test_no_bundle_is_large_or_of_a_fault_that_is_gone() -> None:
    for path in BUNDLES:
        assert path.stat().st_size < 64 << 10, path
        assert path.stem.removeprefix(LOOK_ALIKE) in (SCENES if path.parent.name in STACKED else {*faults(), *CONTAINED}), path
