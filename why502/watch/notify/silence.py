"""Silences: what is recorded, but not sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from why502.model.base import Value
from why502.watch.model import Incident
from why502.watch.notify.base import Matchers, matches

LONGEST = timedelta(days=31)


class Silence(Value, frozen=True, kw_only=True):
    """From when to when incidents that match in every field are not sent. Every silence has an end.

    Nothing is lost: an incident that is still open at the end of the silence is sent then.
    """

    match: Matchers
    until: datetime
    since: datetime
    reason: str = ""

    def __post_init__(self) -> None:
        if not self.match:
            raise ValueError("match must have at least one field, such as proxy or target")
        for name in ("since", "until"):
            at = getattr(self, name)
            if at.tzinfo is None:
                raise ValueError(f"{name} must have a time zone, as in 2026-11-23T03:00:00Z")
            msgspec.structs.force_setattr(self, name, at.astimezone(UTC))
        if not timedelta() < self.until - self.since <= LONGEST:
            raise ValueError(f"until must be after since, by {LONGEST.days} days at most")

    def covers(self, incident: Incident, at: datetime) -> bool:
        """Return whether an incident is silenced at a time."""
        return self.since <= at < self.until and matches(self.match, incident)
