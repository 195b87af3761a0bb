"""Our own requests that gave up before their gateway would have, while all its clients are served."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from why502.diagnosis.case import Case
from why502.diagnosis.index import Joins
from why502.model.logs import Symptom
from why502.model.probe import Probe
from why502.model.snapshot import Snapshot

MANY = 20  # requests that were all served
LONGEST_S = 10.0  # since the last answer


def without_hurried(here: Snapshot) -> Snapshot:
    """Return the snapshot without the requests of ours that gave up earlier than their gateway does, to targets that served every
    client in the window, until shortly before the collection. They show that the target is busy, not that it fails.
    """
    late = [probe for probe in here.probes or () if probe.symptom is Symptom.READ_TIMED_OUT and not probe.through_proxy]
    if not late:
        return here
    joins = Joins(here)
    hurried = {id(probe) for probe in late if _gave_up_early(probe, joins) and _serves_all(probe, joins)}
    return replace(here, probes=tuple(probe for probe in here.probes or () if id(probe) not in hurried)) if hurried else here


def _gave_up_early(probe: Probe, joins: Joins) -> bool:
    route = joins.routes_at.get(probe.route_at) if probe.route_at is not None else None
    return route is not None and probe.total_s is not None and probe.total_s < route.read_timeout_s


def _serves_all(probe: Probe, joins: Joins) -> bool:
    """Return whether each of many requests to the target was answered, one of them less than half as long before the collection
    as its gateway waits.
    """
    case = Case(here=joins.here, target=probe.target, index=joins)
    served, traffic = case.last_answered, case.traffic
    is_free_of_failures = not case.tallies and traffic is not None and not traffic.failures and traffic.attempts >= MANY
    waits_s = max((route.read_timeout_s for route in case.routes), default=0.0)
    recent = joins.here.taken_at - timedelta(seconds=min(waits_s / 2, LONGEST_S))
    return is_free_of_failures and served is not None and served >= recent
