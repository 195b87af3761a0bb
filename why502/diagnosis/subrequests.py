"""The backends that a gateway asks by a subrequest whether a client may pass."""

from __future__ import annotations

from collections.abc import Iterable

from why502.diagnosis.index import Joins
from why502.model.logs import Tally
from why502.model.target import Target


def judges(joins: Joins, failures: Iterable[Tally]) -> set[Target]:
    """Return the backends of the failed authentication subrequests, by the configuration."""
    failed = {(tally.server, request) for tally in failures for request, _ in tally.requests}
    asking = [route for server, request in failed for route in joins.routes_for_request(request, server)]
    wanted = {
        (route.server_at, setting.args[0]) for route in asking if (setting := route.setting("auth_request")) and setting.args
    }
    return {
        peer.target
        for route in joins.routes
        for peer in route.peers
        if peer.target is not None and (route.server_at, route.location.removeprefix("= ").removeprefix("^~ ")) in wanted
    }
