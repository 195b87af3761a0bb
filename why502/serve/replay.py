"""What the bundle of an incident tells besides the incident: the configuration, what was ruled out, and what was checked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.model.errors import Why502Error
from why502.model.finding import ASSERTED, Diagnosis, Finding
from why502.model.snapshot import Snapshot
from why502.serve.excerpts import Excerpt, excerpts
from why502.watch.model import Incident

MOST_BYTES = 256 << 10  # of a bundle that a page is made from; a larger one takes seconds, and is there to be downloaded
KEPT = 64
MOST_RULED_OUT = 12


@dataclass(slots=True, frozen=True, kw_only=True)
class Replayed:
    """The diagnosis of the first seconds. `reason`: why there is none."""

    diagnosis: Diagnosis | None = None
    excerpts: tuple[Excerpt, ...] = ()
    ruled_out: tuple[Finding, ...] = ()
    reason: str = ""


class Replays:
    """Keeps the newest of them: a bundle never changes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Replayed] = OrderedDict()
        self._guard = threading.Lock()

    def of(self, incident: Incident, bundle: bytes | None) -> Replayed:
        """Return what an incident's bundle tells."""
        key = (incident.id, str(incident.finding and (incident.finding.cause, incident.finding.target)))
        with self._guard:
            if found := self._kept.get(key):
                self._kept.move_to_end(key)
                return found
        made = replayed(incident, bundle)
        if bundle is not None:
            with self._guard:
                self._kept[key] = made
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return made


def replayed(incident: Incident, bundle: bytes | None) -> Replayed:
    """Return what a bundle tells about an incident."""
    if bundle is None:
        return Replayed(reason="The evidence of its first seconds is not kept: bundles are kept for 90 days, the newest 200.")
    if len(bundle) > MOST_BYTES:
        return Replayed(reason="Its bundle is too large to be shown here. Download it, and use `why502 diagnose --bundle FILE`.")
    try:
        snapshot = load(bundle, "the bundle")
    except Why502Error as error:
        return Replayed(reason=f"Its bundle cannot be read: {error.message}")
    return _replayed(incident, snapshot, diagnose(snapshot))


def _replayed(incident: Incident, snapshot: Snapshot, diagnosis: Diagnosis) -> Replayed:
    finding = incident.finding
    return Replayed(
        diagnosis=diagnosis,
        excerpts=tuple(excerpts(finding, snapshot)) if finding else (),
        ruled_out=tuple(
            one
            for one in diagnosis.findings
            if one.confidence < ASSERTED and (finding is None or (one.cause, one.target) != (finding.cause, finding.target))
        )[:MOST_RULED_OUT],
    )
