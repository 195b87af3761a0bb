"""Patterns that recognise lines of HAProxy before any format is loaded: the module that reads them, and their common form."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (
    (
        "logs",
        lazy(
            r"\d \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] \S{1,200} [^/ ]{1,200}/\S{1,200} "
            r"-?\d{1,12}/-?\d{1,12}/[-+]?\d"
        ),
    ),
    ("logs", lazy(r"\"(?:haproxy_)?termination_state\":")),
)
