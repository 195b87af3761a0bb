"""The targets that answered our own requests."""

from __future__ import annotations

from why502.model.snapshot import Snapshot
from why502.model.target import Target


def answered(snapshot: Snapshot) -> frozenset[Target]:
    """Return the targets that accepted our connection, or answered it with a failure, in any network namespace."""
    return frozenset(target for _, target in responding(snapshot))


def responding(snapshot: Snapshot) -> frozenset[tuple[str, Target]]:
    """Return the targets that accepted our connection, or answered it with a failure: they have a listener. Each with the
    network namespace it was reached from.
    """
    return frozenset(
        (probe.network, probe.target)
        for probe in snapshot.probes or ()
        if not probe.through_proxy
        if probe.symptom is None or probe.status is not None or probe.first_byte_s is not None
    )
