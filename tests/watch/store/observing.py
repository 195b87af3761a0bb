"""Values for the tests of the store."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from why502.logs.checkpoint import Checkpoint, Place
from why502.watch.model import AttemptKey, FailureKey, Incident, Observed, RequestKey, TargetKey

NOW = datetime(2026, 11, 21, 1, 0, 7, tzinfo=UTC)
MINUTE = int(NOW.timestamp()) // 60
REQUEST = RequestKey("nginx", "shop.example/", "502")
FAILURE = FailureKey("nginx", "shop.example/", "127.0.0.1:3001", "refused")
ATTEMPT = AttemptKey("nginx", "127.0.0.1:3001", "refused")
PEER = TargetKey("nginx", "127.0.0.1:3001")
LOG = "/var/log/nginx/access.log"


def checkpoint(offset: int, log: str = LOG) -> Checkpoint:
    return Checkpoint(path=log, files=(Place(device=1, inode=2, name=log, offset=offset),))


def observed(count: int = 1, *, offset: int = 100, log: str = LOG, minute: int = MINUTE) -> Observed:
    """Return `count` failed requests of one minute, counted in every way."""
    return Observed(
        log=log,
        proxy="nginx",
        checkpoint=checkpoint(offset, log),
        requests=Counter({(minute, REQUEST): count}),
        failures=Counter({(minute, FAILURE): count}),
        attempts=Counter({(minute, ATTEMPT): count}),
        recovered=Counter({(minute, PEER): count}),
        durations={(minute, PEER): Counter({640: count})},
        lines=count,
    )


def incident(id_: str = "i1", **changed: Any) -> Incident:
    whole = {"key": "v1:1", "host": "web1", "proxy": "nginx", "symptom": "refused", "opened_at": NOW} | changed
    return Incident(id=id_, **whole)
