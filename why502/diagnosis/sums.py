"""Sums of tallies, and of the traffic of paths."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from why502.model.logs import PathTraffic, Tally


def merged(tallies: Iterable[Tally]) -> Tally | None:
    """Return one tally that sums those given; None if there are none. Fields that differ are taken from the first."""
    found = list(tallies)
    if len(found) <= 1:
        return found[0] if found else None
    head = max(found, key=lambda tally: tally.count)
    shortest = [x.duration_min_s for x in found if x.duration_min_s is not None]
    longest = [x.duration_max_s for x in found if x.duration_max_s is not None]
    return msgspec.structs.replace(
        head,
        count=sum(x.count for x in found),
        hidden=sum(x.hidden for x in found),
        is_notice=all(x.is_notice for x in found),
        first=min((x.first for x in found if x.first), default=None),
        last=max((x.last for x in found if x.last), default=None),
        duration_min_s=min(shortest, default=None),
        duration_max_s=max(longest, default=None),
        samples=(*head.samples, *(s for x in found if x is not head for s in x.samples))[:3],
    )


def traffic_sum(one: PathTraffic, other: PathTraffic) -> PathTraffic:
    """Return the sum of two paths of one route."""
    statuses = {status: one.statuses.get(status, 0) + other.statuses.get(status, 0) for status in one.statuses | other.statuses}
    return msgspec.structs.replace(
        one,
        statuses=dict(sorted(statuses.items())),
        clients=max(one.clients, other.clients),
        refused_since=one.refused_since + other.refused_since,
        last_refused=max(filter(None, (one.last_refused, other.last_refused)), default=None),
        last_served=max(filter(None, (one.last_served, other.last_served)), default=None),
    )
