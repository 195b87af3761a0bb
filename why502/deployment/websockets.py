"""Locations that are named like endpoints of WebSockets: is_for_websockets()."""

from __future__ import annotations

import re

from why502.model.config import Route
from why502.model.patterns import lazy

_PATH = lazy(
    r"(?:^|[/^])(?:wss?|websockets?|web-socket|socket\\?\.io|sockjs(?:-node)?|cable|signalr)(?:/|\(|\$|$)", re.IGNORECASE
)


def is_for_websockets(route: Route) -> bool:
    """Return whether the path of a route's location says that its requests open WebSockets.

    Headers alone do not: many configurations forward Upgrade in every location, for applications that never ask for it.
    """
    return _PATH.search(route.location.split(" ")[-1]) is not None
