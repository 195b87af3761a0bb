"""Patterns of lines that only a configuration of Apache httpd has."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(r"^[ \t]*<(?:VirtualHost|Directory|Location|Proxy|IfModule|Files)(?:Match)?\b[^>\n]*>", re.MULTILINE | re.IGNORECASE),
    lazy(
        (
            r"^[ \t]*(?:ProxyPass(?:Match|Reverse)?|ServerName|ServerRoot|DocumentRoot|LoadModule|ErrorLog|CustomLog)"
            r"[ \t][^\n;]*$"
        ),
        re.MULTILINE | re.IGNORECASE,
    ),
)
