"""Detects which proxy a configuration text belongs to."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

_SIZE = 256 << 10
_MARKS = {
    "nginx": (
        (
            r"^[ \t]*(?:http|events|stream|server|upstream[ \t]++[^\s{]++|location[ \t]++[^\n{]++"
            r"|map[ \t]++\S++[ \t]++\$\w++)\s{0,64}+\{"
        ),
        r"^[ \t]*(?:(?:proxy|fastcgi|uwsgi|scgi|grpc)_pass|server_name|worker_(?:processes|connections)|listen|root)[ \t][^\n]*;",
        r"^# configuration file /.*:$",
    ),
    "haproxy": (
        r"^(?:global|defaults|(?:frontend|backend|listen)[ \t]++\S++)(?:[ \t][^\n{;]*+)?$",
        (
            r"^[ \t]+(?:bind|balance|default_backend|use_backend|mode[ \t]+(?:http|tcp)|timeout[ \t]+(?:connect|client"
            r"|server))[ \t]?[^\n;]*$"
        ),
    ),
    "apache": (
        r"^[ \t]*<(?:VirtualHost|Directory|Location|Proxy|IfModule|Files)(?:Match)?\b[^>\n]*>",
        r"^[ \t]*(?:ProxyPass(?:Match|Reverse)?|ServerName|ServerRoot|DocumentRoot|LoadModule|ErrorLog|CustomLog)[ \t][^\n;]*$",
    ),
}
_PATTERNS = {name: tuple(lazy(mark, re.MULTILINE) for mark in marks) for name, marks in _MARKS.items()}
_CASELESS = {"apache": tuple(lazy(mark, re.MULTILINE | re.IGNORECASE) for mark in _MARKS["apache"])}


def kind(text: str) -> str | None:
    """Return `nginx`, `haproxy` or `apache`, whichever most of the text matches; None if none matches."""
    head = text[:_SIZE].replace("\r\n", "\n")
    found = {name: sum(len(mark.findall(head)) for mark in _CASELESS.get(name, marks)) for name, marks in _PATTERNS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else None
