"""Advice about request headers for a backend that does not make other headers disappear."""

from __future__ import annotations

from why502.deployment.files import Level


def add(level: Level | None, lines: str) -> str:
    """Return the advice to add directives, one of them a `proxy_set_header`.

    Where a block only inherits its headers, one of its own would drop them all (ngx_http_proxy_merge_loc_conf): there the
    advice names the
    block that sets them.
    """
    inherited = level.settings.get("proxy_set_header", ()) if level is not None and not level.own("proxy_set_header") else ()
    if inherited:
        return f"add `{lines}` beside the other headers at {inherited[0].at}; a header set here alone would drop those"
    return f"add `{lines}`"
