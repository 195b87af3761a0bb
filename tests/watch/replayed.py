"""A recorded bundle under the daemon's rules: its failures from the logs, its diagnosis as the answer when one is asked for."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from tests.watch.state.simulated import World
from why502.bundle import load
from why502.diagnosis.engine import diagnose
from why502.model.logs import Tally
from why502.model.snapshot import Snapshot
from why502.watch import topology
from why502.watch.model import AttemptKey, FailureKey, Observed, RequestKey, TargetKey
from why502.watch.state.values import Diagnose, DiagnosisReady, TargetsChanged

BUNDLES = Path(__file__).parents[1] / "bundles"
LEAST = 6  # failures of each symptom: recorded faults are few requests, and a burst is more


def recorded() -> list[Path]:
    """Return the bundles whose directory names their cause."""
    return sorted(path for path in BUNDLES.glob("*/*.why502") if not path.name.startswith("look-alike"))


class Replay(World):
    """Bundles of several machines' faults, as if they happened on one."""

    def __init__(self, *paths: Path) -> None:
        super().__init__()
        self.snapshots = [load(path.read_bytes(), path.name) for path in paths]
        self.diagnoses = [diagnose(snapshot) for snapshot in self.snapshots]
        configured = [topology.configured(snapshot) for snapshot in self.snapshots]
        self.put(TargetsChanged(running=frozenset(proxy.kind for each in self.snapshots for proxy in each.proxies or ())))
        self.put(
            TargetsChanged(
                running=frozenset(kind for one in configured for kind in one.running),
                served=tuple(
                    structs.replace(each, location=f"{number}:{each.location}")
                    for number, one in enumerate(configured)
                    for each in one.served
                ),
                scopes={name: scope for one in configured for name, scope in one.scopes.items()},
                aliases={name: found for one in configured for name, found in one.aliases.items()},
                missed={name: found for one in configured for name, found in one.missed.items()},
            )
        )

    def fail_all(self) -> None:
        """Log all failures of the bundles."""
        for number, snapshot in enumerate(self.snapshots):
            self.put(observed(snapshot, self.minute, number))

    def diagnosis(self, asked: Diagnose) -> DiagnosisReady:
        """Return the diagnoses of all bundles as one."""
        first, *others = self.diagnoses
        findings = tuple(finding for each in (first, *others) for finding in each.findings)
        pairs = list(zip(self.snapshots, self.diagnoses, strict=True))
        return DiagnosisReady(
            ids=asked.ids,
            occasion=asked.occasion,
            at=self.now,
            diagnosis=structs.replace(first, findings=findings),
            roots={name: root for one, made in pairs for name, root in topology.roots(one, made).items()},
            aliases={name: found for one in self.snapshots for name, found in topology.aliases(one).items()},
            own_network="",
        )


def observed(snapshot: Snapshot, minute: int, number: int = 0) -> Observed:
    """Return the failures of a bundle as one log tells them. Its locations begin with its number."""
    found = Observed(log="error.log", proxy="nginx", lines=1)
    for tally in snapshot.logs.tallies if snapshot.logs else ():
        if tally.is_failure and tally.proxy:
            target, location = str(tally.target or ""), f"{number}:{_location(snapshot, tally)}"
            count, hidden = max(tally.count, LEAST), tally.hidden
            if hidden >= tally.count:
                found.recovered[minute, TargetKey(tally.proxy, target)] += count
            else:
                found.failures[minute, FailureKey(tally.proxy, location, target, tally.symptom.value)] += count
                found.requests[minute, RequestKey(tally.proxy, location, "502")] += count
            found.attempts[minute, AttemptKey(tally.proxy, target, tally.symptom.value)] += count
    return found


def _location(snapshot: Snapshot, tally: Tally) -> str:
    """Return the location of the first route that leads to a tally's target or group."""
    names = topology.aliases(snapshot)
    target = str(tally.target)
    for each in topology.served(snapshot):
        if tally.group and tally.group == each.group:
            return each.location
        if any(target in (name, *names.get(name, ())) for name in each.targets):
            return each.location
    return tally.server
