"""Request headers that a route of nginx sends to the backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from why502.config import edit
from why502.config.tree import nodes
from why502.diagnosis.case import Case
from why502.gateways.behaviour import behaviour
from why502.gateways.nginx.config.parse import quote
from why502.model.config import Route
from why502.model.errors import Why502Error
from why502.model.remedy import Edit
from why502.remedies.changes import tree_of


def set_headers(case: Case, route: Route, wanted: Mapping[str, str], needed: Sequence[tuple[str, str]] = ()) -> Edit | None:
    """Return the edit that makes a location send these headers: names, and values as written in the file.

    A `proxy_set_header` of its own drops the inherited ones (ngx_http_proxy_merge_loc_conf), so these are repeated beside it.
    `needed`: directives that the location needs too, with their arguments. None if the location sets one of them otherwise, which
    may be on purpose, or if its text is not known.
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
    set_here = {child.args[0].lower() for child in block.children if child.name == "proxy_set_header" and child.args}
    ours = {name.lower() for name in wanted}
    if "include" in own or ours & set_here or own & {name for name, _ in needed}:
        return None
    lines = [f"{name} {value};" for name, value in needed]
    if not set_here:
        inherited = {name.lower(): (name, value) for name, value in route.headers}
        kept = (pair for name, pair in inherited.items() if name not in ours)
        lines += [f"proxy_set_header {name} {quote(value)};" for name, value in kept]
    lines += [f"proxy_set_header {name} {value};" for name, value in wanted.items()]
    try:
        return edit.insert_after(tree, route.at, edit.aligned(tree, route.at, lines))
    except Why502Error:
        return None
