"""Patterns of lines that only a configuration of Caddy has (a Caddyfile, or its JSON form)."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(
        (
            r"^[ \t]*(?:reverse_proxy|php_fastcgi|file_server|forward_auth|handle_path|handle_errors|auto_https|tls[ \t]+internal"
            r"|encode[ \t]+(?:gzip|zstd))(?:[ \t][^\n;]*)?$"
        ),
        re.MULTILINE,
    ),
    lazy(r"\"handler\"[ \t]*:[ \t]*\"(?:reverse_proxy|subroute|static_response|file_server)\""),
)
