"""Properties of the engine: it answers every snapshot, the order of the snapshot's parts does not matter,
and the answer is `unknown` without evidence.
"""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import values
from hypothesis import HealthCheck, given, settings

import why502
from why502.diagnosis.causes import CAUSES, PAGES, section
from why502.model.finding import ASSERTED, Diagnosis, Verdict
from why502.model.snapshot import Gap, Snapshot
from why502.render import contract, html, markdown, terminal
from why502.render import json as as_json
from why502.render.words import Terminal

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.why502"))
SCHEMA = jsonschema.Draft202012Validator(contract.schema_of(contract.Diagnosis, contract.DIAGNOSIS))
slow = settings(deadline=None, suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large))


def answer(diagnosis: Diagnosis) -> Any:
    """Return a diagnosis as plain data, with equal-ranking entries in a fixed order."""
    return diagnosis.verdict, sorted((f.cause, str(f.target), round(f.confidence, 6), f.ongoing) for f in diagnosis.findings)


def shuffled(value: Any, order: random.Random) -> Any:
    """Return plain data with its lists of records in another order. Lists of words keep theirs, since it has a meaning."""
    if isinstance(value, dict):
        return {name: shuffled(item, order) if name not in ("argv", "location_path") else item for name, item in value.items()}
    if isinstance(value, list | tuple):
        items = [shuffled(item, order) for item in value]
        return order.sample(items, len(items)) if items and isinstance(items[0], dict) else items
    return value


def test_a_snapshot_without_a_section_is_unknown_and_lists_every_gap() -> None:
    gaps = tuple(Gap(source=name, reason="permission denied", hint="run as root") for name in ("proxies", "logs", "probes"))
    diagnosis = why502.diagnose(Snapshot(taken_at=datetime(2026, 11, 21, tzinfo=UTC), gaps=gaps))
    assert (diagnosis.verdict, diagnosis.findings, diagnosis.gaps) == (Verdict.UNKNOWN, (), gaps)
    assert {check.status.value for check in diagnosis.checks} == {"skip"}
    shown = terminal.render(diagnosis, Terminal())
    assert shown.startswith("UNKNOWN: ")
    assert all(f"{gap.source}: permission denied (run as root)" in shown for gap in gaps)


@slow
@given(values.of(Snapshot))
def test_every_snapshot_is_answered_and_shown(snapshot: Snapshot) -> None:
    diagnosis = why502.diagnose(snapshot)
    assert not [gap for gap in diagnosis.gaps if gap.source.startswith("cause ")]
    assert why502.diagnose(snapshot) == diagnosis
    is_asserted = any(finding.confidence >= ASSERTED for finding in diagnosis.findings)
    assert is_asserted == (diagnosis.verdict is Verdict.PROBLEM)
    assert set(snapshot.gaps) <= set(diagnosis.gaps)
    SCHEMA.validate(json.loads(as_json.render(diagnosis, Terminal())))
    for shown in (terminal.render(diagnosis, Terminal(is_verbose=True)), markdown.render(diagnosis, Terminal())):
        assert not set(shown) & set("\x1b\u202e\x07")
    assert "<b>" not in re.sub("<b>(?:Fix|Or|What to do|Also):</b>", "", html.render(diagnosis, Terminal()))


@pytest.mark.parametrize("bundle", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_observations_does_not_matter(bundle: Path, seed: int) -> None:
    snapshot = why502.load(bundle.read_bytes())
    plain = shuffled(msgspec.to_builtins(snapshot), random.Random(seed))
    assert answer(why502.diagnose(msgspec.convert(plain, Snapshot))) == answer(why502.diagnose(snapshot))


@pytest.mark.parametrize("bundle", GOLDEN, ids=lambda path: path.stem)
def test_less_evidence_never_raises_confidence_in_another_cause(bundle: Path) -> None:
    whole = why502.load(bundle.read_bytes())
    found = {finding.cause for finding in why502.diagnose(whole).findings if finding.confidence >= ASSERTED}
    for name in ("listeners", "processes", "probes", "services", "kernel", "pressure", "names", "paths", "disks", "events"):
        less = msgspec.structs.replace(whole, **{name: None}, gaps=(Gap(source=name, reason="permission denied"),))
        now = {finding.cause for finding in why502.diagnose(less).findings if finding.confidence > 0.9}
        assert now <= found, name


def test_every_cause_has_a_page_with_a_remedy() -> None:
    for name in CAUSES:
        assert PAGES[name].strip()
        assert section(name, "Fix"), name
