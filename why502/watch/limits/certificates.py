"""When certificates end: those in force at the proxies' own listeners, as visitors get them, and those of the members.

A handshake shows what a file on disk does not: a certificate that was renewed but never loaded. Nothing is sent after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from why502.host.base import Host
from why502.model.errors import HostError
from why502.model.snapshot import Gap, Snapshot
from why502.probing.entrance import of_route
from why502.probing.probe import attempt
from why502.probing.request import Request
from why502.watch.checks.members import planned
from why502.watch.checks.settings import Checks
from why502.watch.model import Limit, LimitKind

EVERY_S = 600.0
SENDS = True  # it opens connections: not with --no-probe
MOST = 128


def sample(host: Host, known: Snapshot, at: datetime) -> Iterator[Limit | Gap]:
    """Yield each certificate: how much of its validity is over, and when it ends."""
    for subject, request in list(_requests(known).items())[:MOST]:
        handshake = msgspec.structs.replace(request, only_connects=True, greets=False)
        try:
            found = attempt(host.acting_as(request.owner_uid), handshake)
        except HostError as error:
            yield Gap(source=f"certificate of {subject}", reason=error.reason, hint=error.hint)
            continue
        if found.valid is None:
            yield Gap(source=f"certificate of {subject}", reason=found.probe.detail or "no certificate was presented")
            continue
        first, last = found.valid
        yield Limit(
            kind=LimitKind.CERTIFICATE,
            subject=subject,
            at=at,
            used=(at - first).total_seconds(),
            limit=(last - first).total_seconds(),
            since=first,
            exhausted_at=last,
        )


def _requests(known: Snapshot) -> dict[str, Request]:
    """Return a request for each certificate, by its subject."""
    found: dict[str, Request] = {}
    for proxy in known.proxies or ():
        for route in proxy.routes if proxy.is_running and not proxy.network else ():
            request = of_route(route, ()) if route.listens_tls else None
            if request is not None and request.tls is not None:
                request = msgspec.structs.replace(request, owner_uid=proxy.supplier(route.at))
                found.setdefault(f"front {request.host}", request)
    for one in planned(known, Checks()):
        if one.request is not None and one.request.tls is not None and not one.listeners:
            found.setdefault(f"upstream {one.key.peer}", one.request)
    return found
