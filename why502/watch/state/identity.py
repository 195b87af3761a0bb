"""The identity of an incident: a versioned hash, which a later version of the rule never changes for an old incident."""

from __future__ import annotations

import hashlib
from datetime import datetime

from why502.model.target import Target
from why502.watch.state.families import Family

VERSION = "v1"


def incident_key(host: str, proxy: str, subject: str, family: Family) -> str:
    """Return the key of the incidents of one subject (a target, or a location without one) and one family."""
    text = "\0".join((host, proxy, subject, family.value))
    return f"{VERSION}:{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def incident_id(key: str, opened_at: datetime) -> str:
    """Return the id of one incident: when it opened (UTC), and the beginning of its key."""
    return f"{opened_at:%Y%m%d-%H%M%S}-{key.partition(':')[2][:6]}"


def subject_of(target: str) -> str:
    """Return the name under which a target is known however it was written."""
    parsed = Target.parse(target)
    return str(parsed) if parsed else target
