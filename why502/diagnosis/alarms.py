"""The failures that clients noticed, and those that a few clients caused themselves, by impatience or a wrong address."""

from __future__ import annotations

from collections.abc import Sequence

from why502.diagnosis.spares import made_good
from why502.model.logs import Phase, Symptom, Tally
from why502.model.snapshot import Snapshot
from why502.model.target import Target

FEW = 3  # requests: fewer may be one person's, or chance
MANY = 5  # requests for one path that clients gave up: more than one impatient person
ALIKE = 1.2  # of the longest and the shortest wait: one timeout


def alarms(snapshot: Snapshot) -> tuple[Tally, ...]:
    """Return the tallies of failures that clients noticed. Requests that a few impatient clients gave up (499) are left out,
    because they happen everywhere, and so are one or two for which there is no route while others are served.
    """
    spared = made_good(snapshot)
    found = (tally for tally in (snapshot.logs.tallies if snapshot.logs else ()) if tally.is_failure)
    return tuple(
        tally
        for tally in found
        if tally.target not in spared
        if tally.symptom is not Symptom.CLIENT_CLOSED or not is_impatience(snapshot, tally.target)
        if tally.symptom is not Symptom.ROUTE_MISSING or not is_astray(snapshot)
    )


def is_astray(snapshot: Snapshot) -> bool:
    """Return whether the requests without a route are so few beside those that were served that somebody may have mistyped an
    address, or looked for what is not there.
    """
    logs = snapshot.logs
    lost = sum(tally.count for tally in (logs.tallies if logs else ()) if tally.symptom is Symptom.ROUTE_MISSING)
    served = sum(count for status, count in (logs.by_status if logs else {}).items() if status[:1] in "23")
    return 0 < lost < FEW <= served


def is_impatience(snapshot: Snapshot, target: Target | None) -> bool:
    """Return whether the requests that clients gave up on a target are few, or were already answered (a cancelled download).

    A large share is an alarm; a smaller share is one if the clients had waited long. If the number of requests is unknown, one or
    two are not an alarm while our own requests are answered.
    """
    logs = snapshot.logs
    tallies = [t for t in (logs.tallies if logs else ()) if t.symptom is Symptom.CLIENT_CLOSED and t.target == target]
    requests = next((x.attempts for x in (logs.targets if logs else ()) if x.target == target), logs.requests if logs else 0)
    if not tallies:
        return False
    waited = [tally for tally in tallies if tally.phase not in (Phase.READ_BODY, Phase.UPGRADED)]
    count = sum(tally.count for tally in waited)
    if not requests:
        return count < FEW and any(probe.symptom is None and probe.is_answer for probe in snapshot.probes or ())
    longest_s = max((tally.duration_max_s or 0.0 for tally in waited), default=0.0)
    is_often = count >= 3 and count >= 0.2 * requests
    is_long = count >= 10 and count >= 0.1 * requests and longest_s >= 10
    return not (is_often or is_long or _is_never_awaited(snapshot, waited))


def _is_never_awaited(snapshot: Snapshot, given_up: Sequence[Tally]) -> bool:
    """Return whether clients gave up every request for some path, and not at will: the answer always takes longer than their
    timeout.

    People who cancel (a search as they type) leave after different times.
    """
    if any(_is_at_will(tally) for tally in given_up):
        return False
    asked = {request for tally in given_up for request, _ in tally.requests}
    return any(
        path.request in asked and path.statuses.get("499", 0) >= MANY and path.statuses.keys() == {"499"}
        for path in (snapshot.logs.paths if snapshot.logs else ())
    )


def _is_at_will(tally: Tally) -> bool:
    """Return whether clients gave up after different times, as far as the log has them."""
    shortest_s, longest_s = tally.duration_min_s, tally.duration_max_s
    return shortest_s is not None and longest_s is not None and (shortest_s < 1 or longest_s > ALIKE * shortest_s)
