"""Lines by which a text is recognised as a configuration of Apache httpd."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

_CASELESS = re.MULTILINE | re.IGNORECASE
MARKS = (
    lazy(r"^[ \t]*<(?:VirtualHost|Directory|Location|Proxy|IfModule|Files)(?:Match)?\b[^>\n]*>", _CASELESS),
    lazy(
        r"^[ \t]*(?:ProxyPass(?:Match|Reverse)?|ServerName|ServerRoot|DocumentRoot|LoadModule|ErrorLog|CustomLog)[ \t][^\n;]*$",
        _CASELESS,
    ),
)
MAIN = lazy(r"^[ \t]*(?:ServerRoot|LoadModule|Listen|PidFile)[ \t]", _CASELESS)  # in a main configuration only
