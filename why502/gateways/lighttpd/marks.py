"""Patterns of lines that only a configuration of lighttpd has."""

from __future__ import annotations

import re

from why502.model.patterns import lazy

MARKS = (
    lazy(r"^[ \t]*(?:server\.(?:modules|port|document-root|errorlog)|(?:proxy|fastcgi|scgi)\.server)[ \t]*\+?=", re.MULTILINE),
    lazy(r"^[ \t]*\$(?:HTTP|SERVER)\[\"[a-z]{1,20}\"\][ \t]*(?:==|=~|!=|!~)", re.MULTILINE),
)
