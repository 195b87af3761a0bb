"""What is left of each objective's allowance of failures: of the last 30 days, from the counts by day."""

from __future__ import annotations

from dataclasses import dataclass

from why502.serve.gateway_map import Traffic
from why502.watch.state.burn import Objective


@dataclass(slots=True, frozen=True, kw_only=True)
class Allowance:
    """An objective and what came of it. `left`: the part of the allowance that is left, 1 to below 0; None without requests."""

    objective: Objective
    requests: int
    failures: int

    @property
    def allowed(self) -> float:
        """Return how many requests may fail."""
        return (1 - self.objective.share) * self.requests

    @property
    def left(self) -> float | None:
        """Return the part of the allowance that is left."""
        return 1 - self.failures / self.allowed if self.requests else None


def allowance(objective: Objective, seen: Traffic) -> Allowance:
    """Return what an objective's requests came to. Failures that the gateway or the client wanted so are not counted."""

    def is_of(proxy: str, location: str) -> bool:
        return objective.proxy in ("", proxy) and objective.location in ("", location)

    requests = sum(count for key, count in seen.requests.items() if is_of(*key))
    failures = sum(count for key, count in seen.hurt.items() if is_of(*key))
    return Allowance(objective=objective, requests=max(requests, failures), failures=failures)
