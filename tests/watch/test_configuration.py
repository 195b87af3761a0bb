"""What the store keeps of a configuration: also what serves each target."""

from __future__ import annotations

from tests.watch.replayed import BUNDLES
from why502.bundle import load
from why502.watch import topology
from why502.watch.configuration import configured
from why502.watch.model import OwnerKey


def test_the_processes_and_units_of_each_target_are_kept_where_they_are_known() -> None:
    path = next(path for path in sorted((BUNDLES / "backend-too-slow").glob("*.why502")))
    snapshot = load(path.read_bytes(), path.name)
    assert configured(snapshot).owners == frozenset()
    known = topology.configured(snapshot).scopes
    found = configured(snapshot, known)
    served = {target.target for target in found.targets if known[target.target].pids}
    assert served and {owner.target for owner in found.owners} == served
    for target in served:
        assert OwnerKey("nginx", target, f"pid {known[target].pids[0]}") in found.owners
