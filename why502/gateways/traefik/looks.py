"""Patterns that recognise lines of Traefik before any format is loaded: the module that reads them, and their common form."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (
    ("logs", lazy(r"\"DownstreamStatus\":\d")),
    (
        "logs",
        lazy(
            r"\" \d{3} \d{1,18} \"[^\"]{0,2000}\" \"[^\"]{0,2000}\" \d{1,18} "
            r"\"[^\"]{1,300}\" \"(?:https?://[^\"]{1,500}|-)\" \d{1,12}ms$"
        ),
    ),
)
