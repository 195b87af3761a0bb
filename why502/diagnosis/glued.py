"""A host name to which a gateway has appended the path of the request, because the configured target lacks its last slash."""

from __future__ import annotations

from dataclasses import dataclass

from why502.diagnosis.case import Case
from why502.model.logs import Symptom
from why502.model.patterns import lazy

# Apache (mod_proxy) appends what follows the path of ProxyPass to the target as that is written.
_LOOKED_UP = lazy(r"DNS lookup failure for: (?P<name>[^\s:/]{1,255}) returned by ")


@dataclass(frozen=True, slots=True)
class Glued:
    """The name that was looked up, and the configured one that it begins with."""

    asked: str
    configured: str
    source: str


def glued(case: Case) -> Glued | None:
    """Return the first such name of the proxy's failed lookups; None if there is none."""
    for tally in case.tallies:
        match = _LOOKED_UP.search(tally.detail) if tally.symptom in (Symptom.NAME_NOT_FOUND, Symptom.NAME_SERVER_FAILED) else None
        if match is None:
            continue
        asked, hosts = match["name"].lower(), case.joins.host_names
        longest = max((host for host in hosts if asked.startswith(host)), key=len, default="")
        if longest and asked not in hosts:
            return Glued(asked, longest, tally.source)
    return None
