"""The snapshot before services are examined: targets, listeners, processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from why502.collectors import events, listeners, processes, services
from why502.collectors.base import CollectOptions
from why502.host.base import Host
from why502.model.config import Peer, Route
from why502.model.proxy import Proxy
from why502.model.service import Service
from why502.model.snapshot import Event, Snapshot
from why502.model.target import Target


def known(host: Host, *targets: Target) -> Snapshot:
    """Return a snapshot with one route to each target, and the machine's listeners and processes."""
    routes = tuple(Route(peers=(Peer(name=str(target), target=target),)) for target in targets)
    found = Snapshot(taken_at=datetime.now(UTC), proxies=(Proxy(routes=routes),), addresses=())
    found = msgspec.structs.replace(found, listeners=listeners.collect(host, found, CollectOptions()).value)
    return msgspec.structs.replace(found, processes=processes.collect(host, found, CollectOptions()).value)


def ask(host: Host, *targets: Target) -> tuple[Service, ...]:
    """Return the services behind these targets; no gap is allowed."""
    found = services.collect(host, known(host, *targets), CollectOptions())
    assert [gap.reason for gap in found.gaps if "internal error" in gap.reason] == [], found.gaps
    assert found.value is not None
    return found.value


def happened(host: Host, *targets: Target) -> tuple[Event, ...]:
    """Return the events around the services behind these targets."""
    snapshot = known(host, *targets)
    snapshot = msgspec.structs.replace(snapshot, services=services.collect(host, snapshot, CollectOptions()).value)
    found = events.collect(host, snapshot, CollectOptions())
    assert [gap.reason for gap in found.gaps if "internal error" in gap.reason] == [], found.gaps
    return found.value or ()


def until(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
