"""Forwarding of WebSocket handshakes by a route."""

from __future__ import annotations

from why502.config import edit
from why502.config.tree import nodes
from why502.diagnosis.case import Case
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config.parse import quote
from why502.model.config import Route
from why502.model.errors import Why502Error
from why502.model.remedy import UNPLACED, Edit
from why502.remedies.changes import tree_of

_UPGRADE = ("proxy_set_header Upgrade $http_upgrade;", 'proxy_set_header Connection "upgrade";')
_OURS = frozenset({"upgrade", "connection"})


def forward_upgrade(case: Case, route: Route) -> Edit | None:
    """Return the edit that makes a route forward the handshakes of WebSockets; None if that would be a guess."""
    words = behaviour(route.proxy).upgrade_words
    return _with_words(route, words) if words else _with_headers(case, route)


def _with_words(route: Route, words: str) -> Edit | None:
    """Return the edit that adds words to the line of a route; None if the line may not name the only server itself."""
    address = route.peers[0].name if len(route.peers) == 1 else ""
    if route.at is None or route.protocol not in ("http", "https") or address not in (route.passes, route.passes.rstrip("/")):
        return None
    at = route.at
    return Edit(file=at.file, line=at.line, start=UNPLACED, end=UNPLACED, before=route.passes, after=f"{route.passes} {words}")


def _with_headers(case: Case, route: Route) -> Edit | None:
    """Return the edit that makes a location of nginx forward the handshakes of WebSockets.

    A `proxy_set_header` of its own drops the inherited ones (ngx_http_proxy_merge_loc_conf), so these are repeated beside it.
    None if the location sets one of the two headers otherwise, which may be on purpose, or if its text is not known.
    """
    tree = tree_of(case, route.at)
    if tree is None or route.at is None or route.location_at is None or not behaviour(route.proxy).takes_directives:
        return None
    if route.protocol not in ("http", "https") or route.at.file != route.location_at.file:
        return None
    block = next((node for node in nodes(tree) if node.words[0].start == route.location_at.start), None)
    if block is None:
        return None
    own = {child.name for child in block.children}
    headers = {name.lower(): (name, value) for name, value in route.headers}
    if "include" in own or ("proxy_set_header" in own and _OURS & headers.keys()):
        return None
    lines = []
    if route.http_version != "1.1":
        if "proxy_http_version" in own:
            return None
        lines.append("proxy_http_version 1.1;")
    if "proxy_set_header" not in own:
        kept = (pair for name, pair in headers.items() if name not in _OURS)
        lines += [f"proxy_set_header {name} {quote(value)};" for name, value in kept]
    try:
        return edit.insert_after(tree, route.at, edit.aligned(tree, route.at, (*lines, *_UPGRADE)))
    except Why502Error:
        return None
