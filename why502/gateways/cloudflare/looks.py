"""Patterns that recognise lines of Cloudflare before any format is loaded: the module that reads them, and their common form."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (("logs", lazy(r"\"EdgeResponseStatus\":")),)
