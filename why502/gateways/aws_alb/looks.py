"""Patterns that recognise these lines before any format is loaded: the module that reads them, and their common form."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (("logs", lazy(r"^(?:https?|h2|grpcs?|wss?) \d{4}-\d\d-\d\dT[\d:.]{8,20}Z app/[^\s/]{1,100}/[0-9a-f]{16} ")),)
