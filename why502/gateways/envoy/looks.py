"""Patterns that recognise lines of Envoy before any format is loaded: the module that reads them, and their common form."""

from __future__ import annotations

from why502.model.patterns import lazy

LOOKS = (
    ("logs", lazy(r"\"response_flags\":\"")),
    ("logs", lazy(r"\[\d{4}-\d\d-\d\dT[\d:.]{8,20}Z\] \"[^\"]{0,8000}\" \d{1,3} (?:-|[A-Z]{2,6}(?:,[A-Z]{2,6})*) ")),
)
