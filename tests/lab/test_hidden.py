"""The recorded scenes with one part of the machine not looked at: what cannot be seen makes an answer less sure,
not surely wrong.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from lab.test_bundles import OWN, THERE, name

from why502.bundle import load
from why502.diagnosis.causes import CAUSES, EXPLAINED_BY
from why502.diagnosis.engine import diagnose
from why502.model.snapshot import Gap, Snapshot

PARTS = ("listeners", "processes", "services", "events", "php_pools", "pressure", "kernel", "names", "probes")
SURE = 0.8
# What is asserted of a scene without that part is true all the same: the application did say 503; the memory cgroup's
# victim is known
# by its number alone; of two faults the other one comes first.
ALSO_TRUE = {
    "disk-full-application": "upstream-error-status",
    "backend-oom-killed-worker": "backend-crashed",
    "two-faults": "premature-close",
}


def without(snapshot: Snapshot, part: str) -> Snapshot:
    """Return the same moment, that part not looked at; `owners`: by somebody who may not see whose sockets they are."""
    if part == "owners":
        return msgspec.structs.replace(
            snapshot, listeners=tuple(msgspec.structs.replace(one, pids=()) for one in snapshot.listeners or ())
        )
    return msgspec.structs.replace(snapshot, **{part: None})


def late(snapshot: Snapshot, part: str) -> Snapshot:
    """Return the same moment, that part not seen because its source was too slow."""
    gap = Gap(source=part, reason="did not answer within 5 s", section=part)
    return msgspec.structs.replace(without(snapshot, part), gaps=(*snapshot.gaps, gap))


# Every so many parts are taken away of a scene, not the same of each: of all scenes together, each part often.
every = pytest.mark.parametrize("every", [27, pytest.param(3, marks=pytest.mark.thorough)])


@every
@pytest.mark.parametrize("path", [path for path in OWN if path.parent.name != "healthy"], ids=name)
def test_nothing_wrong_is_said_with_confidence(path: Path, every: int) -> None:
    there = path.with_name(path.stem + THERE)
    here = load(path.read_bytes(), path.name)
    others = [load(there.read_bytes(), there.name)] if there.exists() else []
    for part in (*PARTS, "owners")[OWN.index(path) % every :: every]:
        findings = diagnose(without(here, part), *others).findings
        if findings and findings[0].confidence >= SURE:
            assert findings[0].cause in (path.parent.name, ALSO_TRUE.get(path.stem)), part


@every
@pytest.mark.parametrize("path", [path for path in OWN if path.parent.name != "healthy"], ids=name)
def test_what_took_too_long_to_see_is_not_asserted_without(path: Path, every: int) -> None:
    """On a starved machine answers are fewer, not wrong: what depends on a look that did not end is at most as likely as not."""
    there = path.with_name(path.stem + THERE)
    here = load(path.read_bytes(), path.name)
    others = [load(there.read_bytes(), there.name)] if there.exists() else []
    for part in PARTS[OWN.index(path) % every :: every]:
        for finding in diagnose(*(late(machine, part) for machine in (here, *others))).findings:
            needs = {need for id_ in (finding.cause, *EXPLAINED_BY[finding.cause]) for need in CAUSES[id_].needs}
            if part in needs:
                assert finding.confidence <= 0.5, (part, finding.cause)
