"""Forwarding of WebSocket handshakes by a route."""

from __future__ import annotations

from why502.diagnosis.case import Case
from why502.gateways.behaviour import behaviour
from why502.model.config import Route
from why502.model.remedy import UNPLACED, Edit
from why502.remedies.headers import set_headers

_HEADERS = {"Upgrade": "$http_upgrade", "Connection": '"upgrade"'}
_VERSION = "1.1"


def forward_upgrade(case: Case, route: Route) -> Edit | None:
    """Return the edit that makes a route forward the handshakes of WebSockets; None if that would be a guess."""
    if words := behaviour(route.proxy).upgrade_words:
        return _with_words(route, words)
    return set_headers(case, route, _HEADERS, () if route.http_version == _VERSION else (("proxy_http_version", _VERSION),))


def _with_words(route: Route, words: str) -> Edit | None:
    """Return the edit that adds words to the line of a route; None if the line may not name the only server itself."""
    address = route.peers[0].name if len(route.peers) == 1 else ""
    if route.at is None or route.protocol not in ("http", "https") or address not in (route.passes, route.passes.rstrip("/")):
        return None
    at = route.at
    return Edit(file=at.file, line=at.line, start=UNPLACED, end=UNPLACED, before=route.passes, after=f"{route.passes} {words}")
